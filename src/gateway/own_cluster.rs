//! The cluster that the gateway runs in, as the one who tells its pods.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::{GatewayArgs, GatewayError, api_server};

/// A client of it; `None` where the gateway runs in no Cluster, or in none that it could ask.
///
/// # Errors
/// A kubeconfig was given that is none.
pub(super) async fn connect(args: &GatewayArgs) -> Result<Option<Client>, GatewayError> {
    let Some(cluster) = &args.cluster else { return Ok(None) };
    let client = match &args.cluster_kubeconfig {
        Some(path) => Some(by_kubeconfig(path).await.map_err(|why| GatewayError::OwnCluster(path.clone(), why))?),
        None => Config::incluster().ok().and_then(|config| api_server::client(&config).ok()),
    };
    if client.is_none() {
        tracing::info!(cluster, "runs in no pod, and has no --cluster-kubeconfig: pods are reached by their Services");
    }
    Ok(client)
}

async fn by_kubeconfig(path: &Path) -> Result<Client, String> {
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
    let context = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &context).await.map_err(|error| error.to_string())?;
    api_server::client(&config).map_err(|error| error.to_string())
}
