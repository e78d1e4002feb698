//! Label selectors in their text form.

use serde_json::Value;

/// What all of an object's labels must satisfy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selector(Vec<Term>);

#[derive(Debug, PartialEq, Eq)]
enum Term {
    Exists(String),
    Missing(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

impl Selector {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k`. A term that is none is taken for the name of a label.
    pub(super) fn parse(text: &str) -> Self {
        Self(terms(text).into_iter().filter(|term| !term.is_empty()).map(term).collect())
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let value = |key: &str| labels.get(key).and_then(Value::as_str);
        self.0.iter().all(|term| match term {
            Term::Exists(key) => value(key).is_some(),
            Term::Missing(key) => value(key).is_none(),
            Term::In(key, values) => value(key).is_some_and(|found| values.iter().any(|value| value == found)),
            Term::NotIn(key, values) => value(key).is_none_or(|found| values.iter().all(|value| value != found)),
        })
    }
}

/// Splits at commas outside parentheses.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    text.split(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
    .map(str::trim)
    .collect()
}

fn term(text: &str) -> Term {
    let owned = |part: &str| part.trim().to_owned();
    let set = |part: &str| part.trim().trim_matches(['(', ')']).split(',').map(owned).collect();
    if let Some((key, values)) = text.split_once(" notin ") {
        Term::NotIn(owned(key), set(values))
    } else if let Some((key, values)) = text.split_once(" in ") {
        Term::In(owned(key), set(values))
    } else if let Some((key, value)) = text.split_once("!=") {
        Term::NotIn(owned(key), vec![owned(value)])
    } else if let Some((key, value)) = text.split_once('=') {
        Term::In(owned(key), vec![owned(value.trim_start_matches('='))])
    } else if let Some(key) = text.strip_prefix('!') {
        Term::Missing(owned(key))
    } else {
        Term::Exists(owned(text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_select() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        for (selector, wanted) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app=web,tier=back", false),
            ("app!=web", false),
            ("other!=web", true),
            ("app", true),
            ("!app", false),
            ("!other", true),
            ("app in (db,web),tier", true),
            ("app notin (db,web)", false),
            ("other notin (db)", true),
        ] {
            assert_eq!(Selector::parse(selector).matches(&object), wanted, "{selector}");
        }
        assert!(!Selector::parse("app=web").matches(&json!({"metadata": {}})));
    }
}
