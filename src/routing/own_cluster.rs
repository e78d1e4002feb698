//! The cluster that this program runs in, as the one who tells its pods.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::member_client::client;

/// A kubeconfig that is none.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {0} for the cluster that this runs in: {1}")]
pub(crate) struct OwnClusterError(PathBuf, String);

/// Its name and a client of it; `None` where this program runs in no Cluster, or in none that it could ask.
///
/// # Errors
/// A kubeconfig was given that is none.
pub(crate) async fn connect(
    cluster: Option<&str>,
    kubeconfig: Option<&Path>,
) -> Result<Option<(String, Client)>, OwnClusterError> {
    let Some(cluster) = cluster else { return Ok(None) };
    let found = match kubeconfig {
        Some(path) => Some(by_kubeconfig(path).await.map_err(|why| OwnClusterError(path.to_owned(), why))?),
        None => Config::incluster().ok().and_then(|config| client(&config).ok()),
    };
    if found.is_none() {
        tracing::info!(cluster, "runs in no pod, and has no --cluster-kubeconfig: pods are reached by their Services");
    }
    Ok(found.map(|client| (cluster.to_owned(), client)))
}

async fn by_kubeconfig(path: &Path) -> Result<Client, String> {
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
    let context = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &context).await.map_err(|error| error.to_string())?;
    client(&config).map_err(|error| error.to_string())
}
