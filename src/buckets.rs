//! From a `Bucket` and its Secret to a store: pure.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use skyfleet_api::BucketSpec;
use skyfleet_api::bucket::StoreProvider;
use skyfleet_mirror::{Credentials, S3Location};

/// Why a `Bucket` cannot be spoken to. No message shows what a Secret holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BucketError {
    /// Another interface than S3.
    #[error("spec.provider {0} is not supported yet: use s3, which many stores speak")]
    Provider(&'static str),
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

/// Where the bucket is.
pub(crate) fn location(spec: &BucketSpec) -> Result<S3Location, BucketError> {
    match spec.provider {
        StoreProvider::S3 => {}
        StoreProvider::AzureBlob => return Err(BucketError::Provider("azureBlob")),
        StoreProvider::Gcs => return Err(BucketError::Provider("gcs")),
    }
    Ok(S3Location::new(spec.endpoint.clone(), spec.region.clone(), spec.name.clone(), spec.prefix.clone()))
}

/// The key in a Secret: `accessKeyId`, `secretAccessKey` and, for temporary ones, `sessionToken`, or by the names of the
/// environment variables. White space around a value, such as an editor's last line break, does not count.
pub(crate) fn credentials(secret: &str, data: &BTreeMap<String, ByteString>) -> Result<Credentials, BucketError> {
    let read = |key: &'static str, alternative: &'static str| {
        let Some(value) = data.get(key).or_else(|| data.get(alternative)) else { return Ok(None) };
        let text =
            std::str::from_utf8(&value.0).map_err(|_| BucketError::NotText { secret: secret.to_owned(), key })?;
        Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
    };
    let required = |key: &'static str, alternative: &'static str| {
        read(key, alternative)?.ok_or_else(|| BucketError::MissingKey { secret: secret.to_owned(), key, alternative })
    };
    Ok(Credentials::Static {
        access_key_id: required("accessKeyId", "AWS_ACCESS_KEY_ID")?,
        secret_access_key: required("secretAccessKey", "AWS_SECRET_ACCESS_KEY")?,
        session_token: read("sessionToken", "AWS_SESSION_TOKEN")?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use skyfleet_mirror::Credentials;

    use super::{BucketError, credentials};

    fn secret(entries: &[(&str, &[u8])]) -> BTreeMap<String, ByteString> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec()))).collect()
    }

    #[test]
    fn both_spellings_are_read_and_trimmed() {
        for data in [
            secret(&[("accessKeyId", b"id"), ("secretAccessKey", b"word\n"), ("sessionToken", b"")]),
            secret(&[("AWS_ACCESS_KEY_ID", b"id"), ("AWS_SECRET_ACCESS_KEY", b"word")]),
        ] {
            let Ok(Credentials::Static { access_key_id, secret_access_key, session_token }) = credentials("s", &data)
            else {
                panic!("not read");
            };
            assert_eq!((access_key_id.as_str(), secret_access_key.as_str(), session_token), ("id", "word", None));
        }
    }

    #[test]
    fn what_is_missing_is_named_and_what_is_there_is_not() {
        let error = credentials("s3-key", &secret(&[("accessKeyId", b"hunter2")])).unwrap_err();
        assert!(error.to_string().contains("secretAccessKey") && !error.to_string().contains("hunter2"));
        let binary = secret(&[("accessKeyId", b"\xff"), ("secretAccessKey", b"x")]);
        assert!(matches!(credentials("s", &binary), Err(BucketError::NotText { key: "accessKeyId", .. })));
    }
}
