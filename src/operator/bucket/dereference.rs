//! Reads what a Bucket refers to: the Secret with its credentials.

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use skyfleet_api::BucketSpec;

use crate::operator::error::ReconcileError;

/// The name of the Secret that a Bucket names.
pub(super) fn secret_name(spec: &BucketSpec) -> Option<&str> {
    spec.credentials_secret_ref.as_ref().map(|reference| reference.name.as_str())
}

/// The Secret; `None` when there is no such Secret.
pub(crate) async fn secret(hub: &Client, namespace: &str, spec: &BucketSpec) -> Result<Option<Secret>, ReconcileError> {
    let Some(name) = secret_name(spec) else { return Ok(None) };
    let secrets = Api::<Secret>::namespaced(hub.clone(), namespace);
    secrets.get_opt(name).await.map_err(ReconcileError::hub("read the Secret of a Bucket"))
}
