//! Which bucket a person means.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use skyfleet_api::Bucket;
use skyfleet_mirror::StoreAccess;

use super::failure::Failure;
use super::hub;
use crate::buckets::{self, Identity};

/// A bucket in a store, or a Bucket on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BucketName {
    /// `s3://bucket[/prefix]`; a prefix that does not end with `/` gets one.
    Direct { bucket: String, prefix: String },
    /// The name of a Bucket resource.
    Resource(String),
}

impl BucketName {
    /// Reads the argument.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::Usage(format!(
                "{text:?} is no bucket: give s3://BUCKET[/PREFIX] or the name of a Bucket on the hub"
            ))
        };
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
            let direct = Self::Direct { bucket: bucket.to_owned(), prefix: format!("{prefix}{slash}") };
            return if bucket.is_empty() { Err(wrong()) } else { Ok(direct) };
        }
        let is_name = !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
        if is_name { Ok(Self::Resource(text.to_owned())) } else { Err(wrong()) }
    }
}

/// Reads a Bucket and its Secret on the hub, with the kubeconfig's current context. Without a namespace it is the context's.
pub(super) async fn resolve_bucket(namespace: Option<&str>, name: &str) -> Result<StoreAccess, Failure> {
    let client = hub::infer(&format!("the Bucket {name:?}")).await?;
    let namespace = namespace.unwrap_or(client.default_namespace()).to_owned();
    bucket_access(client, &namespace, name).await
}

/// Reads a Bucket and its Secret on the hub.
pub(super) async fn bucket_access(client: Client, namespace: &str, name: &str) -> Result<StoreAccess, Failure> {
    let what = format!("the Bucket {name:?}");
    let bucket = Api::<Bucket>::namespaced(client.clone(), namespace).get_opt(name).await;
    let bucket = bucket.map_err(hub::failure(&what))?;
    let spec = bucket
        .ok_or_else(|| Failure::NoBucketResource { name: name.to_owned(), namespace: namespace.to_owned() })?
        .spec;
    let unusable = |source| Failure::Bucket { name: name.to_owned(), source };
    let Some(reference) = &spec.credentials_secret_ref else {
        let identity = if spec.anonymous { Identity::Anonymous } else { Identity::Own };
        return buckets::access(&spec, identity).map_err(unusable);
    };
    let secret = Api::<Secret>::namespaced(client, namespace).get_opt(&reference.name).await;
    let secret = secret.map_err(hub::failure(&what))?;
    let missing = || Failure::NoSecret { secret: reference.name.clone(), bucket: name.to_owned() };
    let data = secret.ok_or_else(missing)?.data.unwrap_or_default();
    buckets::access(&spec, Identity::Secret(&reference.name, &data)).map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::BucketName;

    #[test]
    fn a_url_is_direct_and_a_name_is_a_resource() {
        let direct = |bucket: &str, prefix: &str| BucketName::Direct { bucket: bucket.into(), prefix: prefix.into() };
        for (text, wanted) in [
            ("s3://b", direct("b", "")),
            ("s3://b/", direct("b", "")),
            ("s3://b/a b", direct("b", "a b/")),
            ("s3://b/a//", direct("b", "a//")),
            ("weights-aws", BucketName::Resource("weights-aws".into())),
        ] {
            assert_eq!(BucketName::parse(text).unwrap(), wanted, "{text}");
        }
        for text in ["", "s3://", "s3:///a", "gs://b", "a/b", "Weights"] {
            assert_eq!(BucketName::parse(text).unwrap_err().exit_status(), 2, "{text}");
        }
    }
}
