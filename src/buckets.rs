//! From a `Bucket` and its Secret to a store: pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use skyfleet_api::BucketSpec;
use skyfleet_api::bucket::StoreProvider;
use skyfleet_mirror::{
    AwsFederation, AzureCredentials, AzureFederation, AzureLocation, Credentials, GcsCredentials, GcsLocation,
    GoogleFederation, S3Location, StoreAccess,
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
    /// An identity of one cloud for the store of another: nobody else's is used in its place.
    #[error("the identity is another cloud's than the store")]
    OtherCloud,
    /// A store that would be sent a token which is good for the cloud.
    #[error(
        "the endpoint {endpoint:?} is not {cloud}'s: an identity of the cloud is proven by a token that whoever has it can use, so \
         it is sent to https hosts of the cloud only; leave the endpoint out, or use a Secret"
    )]
    ForeignEndpoint {
        /// Where the token would be sent.
        endpoint: String,
        /// Whose it should be.
        cloud: &'static str,
    },
}

/// An identity in a cloud, for tokens of a ServiceAccount.
#[derive(Clone, Debug)]
pub(crate) enum Federation {
    Aws(AwsFederation),
    Azure(AzureFederation),
    Google(GoogleFederation),
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
    /// A ServiceAccount.
    Federated(&'a Federation),
}

impl Identity<'_> {
    /// Whether it is proven by a token; that of AWS proves itself by signatures, which are good for one request.
    fn is_bearer(&self) -> bool {
        matches!(self, Self::Own | Self::Federated(_))
    }
}

/// Hosts of Azure Blob Storage in its clouds.
const AZURE_HOSTS: [&str; 4] = [
    ".blob.core.windows.net",
    ".blob.core.usgovcloudapi.net",
    ".blob.core.chinacloudapi.cn",
    ".blob.storage.azure.net",
];
/// Hosts of Google Cloud Storage, also of one region or for private access.
const GOOGLE_HOSTS: [&str; 1] = [".googleapis.com"];

/// Refuses an endpoint that a token must not be sent to.
fn check_hosts(endpoint: Option<&String>, cloud: &'static str, hosts: &[&str]) -> Result<(), BucketError> {
    let Some(endpoint) = endpoint else { return Ok(()) };
    let host = endpoint.strip_prefix("https://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
    let is_of_cloud = host.is_some_and(|host| {
        let is_plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        is_plain && hosts.iter().any(|end| host.to_ascii_lowercase().ends_with(end))
    });
    let foreign = || BucketError::ForeignEndpoint { endpoint: endpoint.clone(), cloud };
    if is_of_cloud { Ok(()) } else { Err(foreign()) }
}

/// The store of a Bucket, and who asks it.
pub(crate) fn access(spec: &BucketSpec, identity: Identity<'_>) -> Result<StoreAccess, BucketError> {
    let (endpoint, name, prefix) = (spec.endpoint.clone(), spec.name.clone(), spec.prefix.clone());
    Ok(match spec.provider {
        StoreProvider::S3 => {
            StoreAccess::S3(S3Location::new(endpoint, spec.region.clone(), name, prefix), aws(identity)?)
        }
        StoreProvider::AzureBlob => {
            if identity.is_bearer() {
                check_hosts(endpoint.as_ref(), "Azure", &AZURE_HOSTS)?;
            }
            // The API server has seen to it that there is one.
            let account = spec.account.clone().unwrap_or_default();
            StoreAccess::Azure(AzureLocation { endpoint, account, container: name, prefix }, azure(identity)?)
        }
        StoreProvider::Gcs => {
            if identity.is_bearer() {
                check_hosts(endpoint.as_ref(), "Google", &GOOGLE_HOSTS)?;
            }
            StoreAccess::Gcs(GcsLocation { endpoint, bucket: name, prefix }, google(identity)?)
        }
    })
}

fn aws(identity: Identity<'_>) -> Result<Credentials, BucketError> {
    let keys = match identity {
        Identity::Secret(secret, data) => Keys { secret, data },
        Identity::Anonymous => return Ok(Credentials::Anonymous),
        Identity::Federated(Federation::Aws(federation)) => return Ok(Credentials::Federated(federation.clone())),
        Identity::Federated(_) => return Err(BucketError::OtherCloud),
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
        Identity::Federated(Federation::Azure(federation)) => {
            return Ok(AzureCredentials::Federated(federation.clone()));
        }
        Identity::Federated(_) => return Err(BucketError::OtherCloud),
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
        Identity::Federated(Federation::Google(federation)) => {
            return Ok(GcsCredentials::Federated(federation.clone()));
        }
        Identity::Federated(_) => return Err(BucketError::OtherCloud),
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
    fn a_token_is_sent_to_hosts_of_its_cloud_only() {
        let with_endpoint = |provider: &str, endpoint: &str, identity: Identity<'_>| {
            let spec = json!({"provider": provider, "name": "models", "account": "acme", "endpoint": endpoint});
            access(&serde_json::from_value(spec).unwrap(), identity)
        };
        for (provider, endpoint, is_sent) in [
            ("azureBlob", "https://acme.blob.core.windows.net", true),
            ("azureBlob", "https://acme.blob.core.usgovcloudapi.net:443/", true),
            ("azureBlob", "http://acme.blob.core.windows.net", false),
            ("azureBlob", "https://acme.blob.core.windows.net.example.com", false),
            ("azureBlob", "https://example.com/.blob.core.windows.net", false),
            ("azureBlob", "https://example.com\\.blob.core.windows.net", false),
            ("gcs", "https://storage.googleapis.com", true),
            ("gcs", "https://storage.europe-west3.rep.googleapis.com", true),
            ("gcs", "https://googleapis.com.example.com", false),
            ("gcs", "http://127.0.0.1:4443", false),
            ("s3", "http://minio:9000", true),
        ] {
            let found = with_endpoint(provider, endpoint, Identity::Own);
            assert_eq!(found.is_ok(), is_sent, "{endpoint}: {found:?}");
            assert!(with_endpoint(provider, endpoint, Identity::Anonymous).is_ok(), "nobody has a token");
        }
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
