//! JSON merge patches (RFC 7396): pure.

use serde_json::{Map, Value};

/// The merge patch that makes `from` what `to` is: what `to` lacks is removed. `None` when they are the same.
pub(super) fn merge_patch(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return (from != to).then(|| to.clone());
    };
    let mut patch = Map::new();
    for (key, value) in to {
        let change = match from.get(key) {
            Some(before) => merge_patch(before, value),
            None => Some(value.clone()),
        };
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    let gone = from.keys().filter(|key| !to.contains_key(*key));
    patch.extend(gone.map(|key| (key.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The paths that a merge patch changes, such as `runtime.image`, in their order.
pub(super) fn paths(patch: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(patch, "", &mut found);
    found
}

fn collect(patch: &Value, place: &str, found: &mut Vec<String>) {
    let Value::Object(fields) = patch else {
        found.push(place.to_owned());
        return;
    };
    for (key, value) in fields {
        let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
        collect(value, &place, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{merge_patch, paths};

    /// What an API server makes of it (RFC 7396).
    fn apply(target: &mut Value, patch: &Value) {
        let Value::Object(changes) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        let fields = target.as_object_mut().unwrap();
        for (key, change) in changes {
            if change.is_null() {
                fields.remove(key);
            } else {
                apply(fields.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
    }

    #[test]
    fn a_patch_makes_the_one_the_other_and_names_no_more_than_it_must() {
        for (from, to, wanted) in [
            (json!({"a": 1}), json!({"a": 1}), None),
            (
                json!({"a": 1, "b": {"c": 1, "d": 2}}),
                json!({"b": {"c": 1}}),
                Some(json!({"a": null, "b": {"d": null}})),
            ),
            (json!({"args": ["x"]}), json!({"args": ["x", "y"]}), Some(json!({"args": ["x", "y"]}))),
            (json!({"a": "text"}), json!({"a": {"b": 1}}), Some(json!({"a": {"b": 1}}))),
            (json!({"a": {"b": 1}}), json!({"a": "text"}), Some(json!({"a": "text"}))),
            (json!({}), json!({"a": {"b": {"c": []}}}), Some(json!({"a": {"b": {"c": []}}}))),
        ] {
            let patch = merge_patch(&from, &to);
            assert_eq!(patch, wanted, "{from} -> {to}");
            let mut patched = from.clone();
            apply(&mut patched, &patch.unwrap_or(json!({})));
            assert_eq!(patched, to);
        }
    }

    #[test]
    fn what_a_patch_changes_is_named_by_path() {
        let patch = json!({"runtime": {"image": "b", "args": ["x"]}, "service": null});
        assert_eq!(paths(&patch), ["runtime.args", "runtime.image", "service"]);
    }
}
