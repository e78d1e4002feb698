//! Which location takes a request: pure.

use std::fmt::Write as _;

use super::text::literal;
use crate::rules::{Host, Rule};

/// NGINX takes words of 4,096 bytes, and a model may have 253 characters, of which each becomes up to four bytes.
const MODELS: usize = 2;

/// A `map` from requests to the URIs of locations. The first one that matches counts, as with rules. What is looked at is the URI as the
/// client sent it: that is what the gateway goes by, and what replicas are sent.
pub(super) fn map(rules: &[Rule], location: impl Fn(usize) -> String) -> String {
    let mut map =
        "map \"$host $request_uri $http_x_gateway_model_name\" $skyfleet_taken {\n    default \"\";\n".to_owned();
    let alike = |one: &Rule, next: &Rule| {
        (&one.host, &one.path, one.route) == (&next.host, &next.path, next.route)
            && one.model.is_some() == next.model.is_some()
    };
    for rules in rules.chunk_by(alike).flat_map(|rules| rules.chunks(MODELS)) {
        let _ = writeln!(map, "    \"~^{}\" {};", expression(rules), location(rules[0].route));
    }
    map + "}\n"
}

/// For rules that differ in their models only.
fn expression(rules: &[Rule]) -> String {
    let host = match &rules[0].host {
        Host::Exact(host) => literal(host),
        Host::Suffix(suffix) => format!("[^ ]+{}", literal(suffix)),
        Host::Any => "[^ ]*".to_owned(),
    };
    let path = match &*rules[0].path {
        "" => "[^ ]*".to_owned(),
        path => format!("{}(?:[/?][^ ]*)?", literal(path)),
    };
    let models: Vec<_> = rules.iter().filter_map(|rule| rule.model.as_deref().map(literal)).collect();
    let model = if models.is_empty() { String::new() } else { format!("(?:{})$", models.join("|")) };
    format!("{host} {path} {model}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_become_regular_expressions_in_their_order() {
        let rule = |host, path: &str, model: Option<&str>, route| Rule {
            host,
            path: path.to_owned(),
            model: model.map(str::to_owned),
            route,
        };
        let any = Host::Any;
        let rules = [
            rule(Host::Exact("a.b".to_owned()), "", None, 0),
            rule(Host::Suffix(".b".to_owned()), "/v1", Some("m:1"), 1),
            rule(Host::Suffix(".b".to_owned()), "/v1", Some("m\"; }"), 1),
            rule(Host::Suffix(".b".to_owned()), "/v1", Some("m"), 2),
            rule(any, "/v1\" {$", None, 2),
        ];
        let expected = r#"map "$host $request_uri $http_x_gateway_model_name" $skyfleet_taken {
    default "";
    "~^a\x2eb [^ ]* " /0;
    "~^[^ ]+\x2eb /v1(?:[/?][^ ]*)? (?:m\x3a1|m\x22\x3b\x20\x7d)$" /1;
    "~^[^ ]+\x2eb /v1(?:[/?][^ ]*)? (?:m)$" /2;
    "~^[^ ]* /v1\x22\x20\x7b\x24(?:[/?][^ ]*)? " /2;
}
"#;
        assert_eq!(map(&rules, |route| format!("/{route}")), expected);
    }
}
