//! From a `Bucket` and its Secret to a store: pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use skyfleet_api::BucketSpec;
use skyfleet_api::bucket::StoreProvider;
use skyfleet_mirror::{
    AzureCredentials, AzureLocation, Credentials, GcsCredentials, GcsLocation, S3Location, StoreAccess,
};

/// Why a `Bucket` cannot be spoken to. No message shows what a Secret holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BucketError {
    /// The Secret lacks a key.
    #[error("the Secret {secret:?} has no key {key:?} (or {alternative:?})")]
    MissingKey {
        /// The Secret.
        secret: String,
        /// The key it should have.
        key: &'static str,
        /// The other name it may have.
        alternative: &'static str,
    },
    /// A value that is no text.
    #[error("the key {key:?} of the Secret {secret:?} is not UTF-8 text")]
    NotText {
        /// The Secret.
        secret: String,
        /// The key.
        key: &'static str,
    },
}

/// Who asks a Bucket's store.
#[derive(Clone, Copy)]
pub(crate) enum Identity<'a> {
    /// Who has the keys of a Secret: its name and what it holds.
    Secret(&'a str, &'a BTreeMap<String, ByteString>),
    /// Nobody.
    Anonymous,
    /// Whoever runs this program.
    Own,
}

/// The store of a Bucket, and who asks it.
pub(crate) fn access(spec: &BucketSpec, identity: Identity<'_>) -> Result<StoreAccess, BucketError> {
    let (endpoint, name, prefix) = (spec.endpoint.clone(), spec.name.clone(), spec.prefix.clone());
    Ok(match spec.provider {
        StoreProvider::S3 => {
            StoreAccess::S3(S3Location::new(endpoint, spec.region.clone(), name, prefix), aws(identity)?)
        }
        StoreProvider::AzureBlob => {
            // The API server has seen to it that there is one.
            let account = spec.account.clone().unwrap_or_default();
            StoreAccess::Azure(AzureLocation { endpoint, account, container: name, prefix }, azure(identity)?)
        }
        StoreProvider::Gcs => StoreAccess::Gcs(GcsLocation { endpoint, bucket: name, prefix }, google(identity)?),
    })
}

fn aws(identity: Identity<'_>) -> Result<Credentials, BucketError> {
    let keys = match identity {
        Identity::Secret(secret, data) => Keys { secret, data },
        Identity::Anonymous => return Ok(Credentials::Anonymous),
        Identity::Own => return Ok(Credentials::DefaultChain),
    };
    Ok(Credentials::Static {
        access_key_id: keys.required("accessKeyId", "AWS_ACCESS_KEY_ID")?,
        secret_access_key: keys.required("secretAccessKey", "AWS_SECRET_ACCESS_KEY")?,
        session_token: keys.read("sessionToken", "AWS_SESSION_TOKEN")?,
    })
}

fn azure(identity: Identity<'_>) -> Result<AzureCredentials, BucketError> {
    let keys = match identity {
        Identity::Secret(secret, data) => Keys { secret, data },
        Identity::Anonymous => return Ok(AzureCredentials::Anonymous),
        Identity::Own => return Ok(AzureCredentials::Default),
    };
    if let Some(token) = keys.read("sasToken", "AZURE_STORAGE_SAS_TOKEN")? {
        return Ok(AzureCredentials::SasToken(token));
    }
    let key = keys.read("accountKey", "AZURE_STORAGE_KEY")?;
    key.map(AzureCredentials::AccountKey).ok_or_else(|| keys.missing("accountKey", "sasToken"))
}

fn google(identity: Identity<'_>) -> Result<GcsCredentials, BucketError> {
    let keys = match identity {
        Identity::Secret(secret, data) => Keys { secret, data },
        Identity::Anonymous => return Ok(GcsCredentials::Anonymous),
        Identity::Own => return Ok(GcsCredentials::Default),
    };
    keys.required("serviceAccountKey", "GOOGLE_CREDENTIALS").map(GcsCredentials::ServiceAccountKey)
}

/// The keys in a Secret, each by the name that Skyfleet gives it or by that of the environment variable. White space around a
/// value, such as an editor's last line break, does not count.
struct Keys<'a> {
    secret: &'a str,
    data: &'a BTreeMap<String, ByteString>,
}

impl Keys<'_> {
    fn read(&self, key: &'static str, alternative: &'static str) -> Result<Option<String>, BucketError> {
        let Some(value) = self.data.get(key).or_else(|| self.data.get(alternative)) else { return Ok(None) };
        let not_text = |_| BucketError::NotText { secret: self.secret.to_owned(), key };
        let text = std::str::from_utf8(&value.0).map_err(not_text)?;
        Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    fn required(&self, key: &'static str, alternative: &'static str) -> Result<String, BucketError> {
        self.read(key, alternative)?.ok_or_else(|| self.missing(key, alternative))
    }

    fn missing(&self, key: &'static str, alternative: &'static str) -> BucketError {
        BucketError::MissingKey { secret: self.secret.to_owned(), key, alternative }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use serde_json::json;
    use skyfleet_mirror::{AzureCredentials, Credentials, GcsCredentials, StoreAccess};

    use super::{BucketError, Identity, access};

    fn with(provider: &str, entries: &[(&str, &[u8])]) -> Result<StoreAccess, BucketError> {
        let data: BTreeMap<_, _> =
            entries.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec()))).collect();
        let spec = json!({"provider": provider, "name": "models", "account": "acme", "prefix": "p/"});
        access(&serde_json::from_value(spec).unwrap(), Identity::Secret("s", &data))
    }

    #[test]
    fn both_spellings_are_read_and_trimmed() {
        let plain: [(&str, &[u8]); 3] = [("accessKeyId", b"id"), ("secretAccessKey", b"word\n"), ("sessionToken", b"")];
        let variables: [(&str, &[u8]); 2] = [("AWS_ACCESS_KEY_ID", b"id"), ("AWS_SECRET_ACCESS_KEY", b"word")];
        for entries in [&plain[..], &variables] {
            let Ok(StoreAccess::S3(_, Credentials::Static { access_key_id, secret_access_key, session_token })) =
                with("s3", entries)
            else {
                panic!("not read");
            };
            assert_eq!((access_key_id.as_str(), secret_access_key.as_str(), session_token), ("id", "word", None));
        }
    }

    #[test]
    fn each_provider_has_its_keys() {
        let azure = with("azureBlob", &[("accountKey", b"k")]).unwrap();
        assert!(matches!(azure, StoreAccess::Azure(_, AzureCredentials::AccountKey(_))));
        assert_eq!(azure.url(), "az://acme/models/p/");
        let azure = with("azureBlob", &[("AZURE_STORAGE_SAS_TOKEN", b"s")]).unwrap();
        assert!(matches!(azure, StoreAccess::Azure(_, AzureCredentials::SasToken(_))));
        let google = with("gcs", &[("serviceAccountKey", b"{}")]).unwrap();
        assert!(matches!(google, StoreAccess::Gcs(_, GcsCredentials::ServiceAccountKey(_))));
    }

    #[test]
    fn what_is_missing_is_named_and_what_is_there_is_not() {
        for (provider, key) in [("s3", "secretAccessKey"), ("azureBlob", "accountKey"), ("gcs", "serviceAccountKey")] {
            let error = with(provider, &[("accessKeyId", b"hunter2")]).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("hunter2"), "{error}");
        }
        let binary = with("s3", &[("accessKeyId", b"\xff"), ("secretAccessKey", b"x")]);
        assert!(matches!(binary, Err(BucketError::NotText { key: "accessKeyId", .. })));
    }
}
