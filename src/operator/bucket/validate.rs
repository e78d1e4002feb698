//! Checks a Bucket: only fields that are acted on, and whole credentials.

use k8s_openapi::api::core::v1::Secret;
use skyfleet_api::bucket::StoreProvider;
use skyfleet_api::conditions::Reason;
use skyfleet_api::{BucketSpec, UnsupportedFields};
use skyfleet_mirror::StoreAccess;

use super::dereference::secret_name;
use crate::buckets::{self, BucketError, Identity};
use crate::operator::report::unsupported;

/// What is needed to speak to a bucket's store.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) store: StoreAccess,
    /// Which state of the Secret the credentials are from, where there is one.
    pub(crate) credentials_version: Option<String>,
}

/// Why a bucket is not, or not now, usable: the reason and the message of its condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    /// Whether it may pass by itself.
    pub(crate) passing: bool,
}

impl Refusal {
    pub(crate) fn lasting(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), passing: false }
    }
}

/// The access that a Bucket and its Secret give.
pub(crate) fn access(spec: &BucketSpec, secret: Option<&Secret>) -> Result<Access, Refusal> {
    let fields = spec.unsupported_fields();
    if !fields.is_empty() {
        return Err(Refusal::lasting(Reason::UnsupportedField, unsupported(&fields)));
    }
    let invalid = |error: BucketError| Refusal::lasting(Reason::InvalidCredentials, error.to_string());
    if spec.anonymous {
        let store = buckets::access(spec, Identity::Anonymous).map_err(invalid)?;
        return Ok(Access { store, credentials_version: None });
    }
    let name = secret_name(spec).unwrap_or_default();
    let Some(secret) = secret else {
        let keys = keys_of(spec.provider);
        let message = format!("there is no Secret {name:?} in the Bucket's namespace: make it with {keys}");
        return Err(Refusal::lasting(Reason::ReferenceNotFound, message));
    };
    let data = secret.data.clone().unwrap_or_default();
    let store = buckets::access(spec, Identity::Secret(name, &data)).map_err(invalid)?;
    Ok(Access { store, credentials_version: secret.metadata.resource_version.clone() })
}

/// What a Secret for a store has.
fn keys_of(provider: StoreProvider) -> &'static str {
    match provider {
        StoreProvider::S3 => "accessKeyId and secretAccessKey",
        StoreProvider::AzureBlob => "accountKey or sasToken",
        StoreProvider::Gcs => "serviceAccountKey",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(extra: &serde_json::Value) -> BucketSpec {
        let mut spec = json!({"provider": "s3", "name": "models", "credentialsSecretRef": {"name": "key"}});
        spec.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        serde_json::from_value(spec).expect("a spec")
    }

    fn secret(keys: &[&str]) -> Secret {
        let data: serde_json::Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), json!("aQ=="))).collect();
        serde_json::from_value(json!({"metadata": {"name": "key"}, "data": data})).expect("a Secret")
    }

    #[test]
    fn each_way_to_be_wrong_has_its_reason() {
        for (spec, secret, reason) in [
            (spec(&json!({"workloadIdentity": {}})), None, Reason::UnsupportedField),
            (spec(&json!({"provider": "gcs"})), Some(secret(&["accountKey"])), Reason::InvalidCredentials),
            (spec(&json!({})), None, Reason::ReferenceNotFound),
            (spec(&json!({})), Some(secret(&["accessKeyId"])), Reason::InvalidCredentials),
        ] {
            assert_eq!(access(&spec, secret.as_ref()).expect_err("it is wrong").reason, reason);
        }
        assert!(access(&spec(&json!({"provider": "gcs"})), Some(&secret(&["serviceAccountKey"]))).is_ok());
        let public = serde_json::from_value(json!({"provider": "gcs", "name": "models", "anonymous": true}));
        assert!(access(&public.expect("a spec"), None).is_ok());
        assert!(access(&spec(&json!({})), Some(&secret(&["accessKeyId", "secretAccessKey"]))).is_ok());
    }
}
