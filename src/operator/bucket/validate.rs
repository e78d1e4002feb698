//! Checks a Bucket: whole credentials, and an identity that may be used.

use skyfleet_api::BucketSpec;
use skyfleet_api::bucket::StoreProvider;
use skyfleet_api::conditions::Reason;
use skyfleet_mirror::StoreAccess;

use super::dereference::{Asker, Identity, secret_name};
use crate::buckets::{self, BucketError};

/// What is needed to speak to a bucket's store.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) store: StoreAccess,
    /// Which state of the Secret or ServiceAccount the credentials are from, where there is one.
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

/// The access that a Bucket and who asks for it give.
pub(crate) fn access(spec: &BucketSpec, asker: &Asker) -> Result<Access, Refusal> {
    let data;
    let identity = match asker {
        Asker::Anonymous => buckets::Identity::Anonymous,
        Asker::Secret(secret) => {
            let name = secret_name(spec).unwrap_or_default();
            data = secret.as_ref().ok_or_else(|| no_secret(spec, name))?.data.clone().unwrap_or_default();
            buckets::Identity::Secret(name, &data)
        }
        Asker::Identity(identity) => match identity.as_ref().as_ref().map_err(Clone::clone)? {
            Identity::Own => buckets::Identity::Own,
            Identity::Federated { federation, .. } => buckets::Identity::Federated(federation),
        },
    };
    let store = buckets::access(spec, identity).map_err(|error| invalid(&error))?;
    Ok(Access { store, credentials_version: asker.version().map(str::to_owned) })
}

fn no_secret(spec: &BucketSpec, name: &str) -> Refusal {
    let keys = keys_of(spec.provider);
    let message = format!("there is no Secret {name:?} in the Bucket's namespace: make it with {keys}");
    Refusal::lasting(Reason::ReferenceNotFound, message)
}

fn invalid(error: &BucketError) -> Refusal {
    let reason = match error {
        BucketError::ForeignEndpoint { .. } | BucketError::OtherCloud => Reason::InvalidSpec,
        BucketError::MissingKey { .. } | BucketError::NotText { .. } => Reason::InvalidCredentials,
    };
    Refusal::lasting(reason, error.to_string())
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

    fn secret(keys: &[&str]) -> Asker {
        let data: serde_json::Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), json!("aQ=="))).collect();
        let secret = json!({"metadata": {"name": "key", "resourceVersion": "7"}, "data": data});
        Asker::Secret(Some(serde_json::from_value(secret).expect("a Secret")))
    }

    fn with_identity(spec: &serde_json::Value, identity: Result<Identity, Refusal>) -> Result<Access, Refusal> {
        let mut whole = json!({"name": "models", "workloadIdentity": {}});
        whole.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        access(&serde_json::from_value(whole).expect("a spec"), &Asker::Identity(Box::new(identity)))
    }

    #[test]
    fn each_way_to_be_wrong_has_its_reason() {
        for (spec, asker, reason) in [
            (spec(&json!({"provider": "gcs"})), secret(&["accountKey"]), Reason::InvalidCredentials),
            (spec(&json!({})), Asker::Secret(None), Reason::ReferenceNotFound),
            (spec(&json!({})), secret(&["accessKeyId"]), Reason::InvalidCredentials),
        ] {
            assert_eq!(access(&spec, &asker).expect_err("it is wrong").reason, reason);
        }
        assert!(access(&spec(&json!({"provider": "gcs"})), &secret(&["serviceAccountKey"])).is_ok());
        let public = serde_json::from_value(json!({"provider": "gcs", "name": "models", "anonymous": true}));
        assert!(access(&public.expect("a spec"), &Asker::Anonymous).is_ok());
        let found = access(&spec(&json!({})), &secret(&["accessKeyId", "secretAccessKey"])).expect("an access");
        assert_eq!(found.credentials_version.as_deref(), Some("7"));
    }

    #[test]
    fn an_identity_is_used_or_refused_as_it_was_found() {
        let refusal = Refusal::lasting(Reason::PermissionDenied, "no");
        assert_eq!(with_identity(&json!({"provider": "s3"}), Err(refusal.clone())).err(), Some(refusal));
        assert!(with_identity(&json!({"provider": "s3", "endpoint": "http://store:9000"}), Ok(Identity::Own)).is_ok());
        let elsewhere = json!({"provider": "gcs", "endpoint": "https://store.example.com"});
        assert_eq!(with_identity(&elsewhere, Ok(Identity::Own)).err().map(|it| it.reason), Some(Reason::InvalidSpec));
    }
}
