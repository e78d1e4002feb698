//! Whether an object in a member is already what it shall be, so that a settled one is never written.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Resource;
use kube_quantity::ParsedQuantity;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// On objects in a member: the digest of what was asked for. It tells a field that is no longer asked for from one that the
/// member's API server filled in.
const WANTED_DIGEST: &str = "skyfleet.dev/wanted-digest";

/// Marks what is wanted with its digest.
#[must_use]
pub fn sealed<K: Resource + Serialize>(mut wanted: K) -> K {
    // An object of Kubernetes' own types always renders; were it not so, the object would only be written once more.
    let bytes = serde_json::to_vec(&wanted).unwrap_or_default();
    let digest = Sha256::digest(&bytes).iter().take(16).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    wanted.meta_mut().annotations.get_or_insert_default().insert(WANTED_DIGEST.to_owned(), digest);
    wanted
}

/// Whether everything `wanted` says is so in `found`. What `wanted` does not say may be anything: the API server fills in
/// defaults, and others own other fields.
#[must_use]
pub fn is_settled<K: Serialize>(wanted: &K, found: &K) -> bool {
    match (serde_json::to_value(wanted), serde_json::to_value(found)) {
        (Ok(wanted), Ok(found)) => says(&wanted, &found),
        _ => false,
    }
}

fn says(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => wanted.iter().all(|(key, wanted)| match found.get(key) {
            Some(found) => says(wanted, found),
            None => is_empty(wanted),
        }),
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| says(wanted, found))
        }
        (Value::String(wanted), Value::String(found)) => wanted == found || same_quantity(wanted, found),
        (wanted, found) => wanted == found,
    }
}

/// An empty list, map or text that the API server left out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The API server writes quantities in a form of its own: `0.5` comes back as `500m`.
fn same_quantity(wanted: &str, found: &str) -> bool {
    let parsed = |text: &str| ParsedQuantity::try_from(Quantity(text.to_owned())).ok();
    parsed(wanted).zip(parsed(found)).is_some_and(|(wanted, found)| wanted == found)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn what_is_not_said_may_be_anything() {
        for (wanted, found, settled) in [
            (json!({"a": 1}), json!({"a": 1, "b": 2}), true),
            (json!({"a": 1}), json!({"a": 2}), false),
            (json!({"a": 1}), json!({}), false),
            (json!({"a": []}), json!({}), true),
            (json!([{"name": "x"}]), json!([{"name": "x", "protocol": "TCP"}]), true),
            (json!([1]), json!([1, 2]), false),
            (json!({"cpu": "0.5"}), json!({"cpu": "500m"}), true),
            (json!({"cpu": "0.5"}), json!({"cpu": "600m"}), false),
            (json!({"image": "a:1"}), json!({"image": "a:2"}), false),
        ] {
            assert_eq!(says(&wanted, &found), settled, "{wanted} in {found}");
        }
    }

    #[test]
    fn a_field_that_is_no_longer_wanted_changes_the_digest() {
        let service = |annotation: Value| -> Service {
            from_value(json!({"metadata": {"name": "s", "annotations": annotation}, "spec": {"type": "ClusterIP"}}))
                .expect("a Service")
        };
        let before = sealed(service(json!({"internal": "true"})));
        let after = sealed(service(json!({})));
        assert!(is_settled(&before, &before));
        assert!(!is_settled(&after, &before), "its digest differs");
        assert_eq!(sealed(service(json!({}))), after);
    }
}
