//! Reads what a Cluster refers to: the Secret with its credentials or kubeconfig.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use skyfleet_api::ClusterSpec;

use crate::operator::error::ReconcileError;

/// The name of the Secret that a Cluster names.
pub(super) fn secret_name(spec: &ClusterSpec) -> Option<&str> {
    let connection = &spec.connection;
    let credentials = connection.credentials_secret_ref.as_ref().map(|reference| reference.name.as_str());
    credentials.or(connection.kubeconfig_secret_ref.as_ref().map(|reference| reference.name.as_str()))
}

/// The Secret's data; `None` when there is no such Secret.
pub(super) async fn secret(
    hub: &Client,
    namespace: &str,
    spec: &ClusterSpec,
) -> Result<Option<BTreeMap<String, ByteString>>, ReconcileError> {
    let Some(name) = secret_name(spec) else { return Ok(None) };
    let secrets = Api::<Secret>::namespaced(hub.clone(), namespace);
    let secret = secrets.get_opt(name).await.map_err(ReconcileError::hub("read the Secret of a Cluster"))?;
    Ok(secret.map(|secret| secret.data.unwrap_or_default()))
}
