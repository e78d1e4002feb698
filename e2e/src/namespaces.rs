//! Starts a cluster of the lab's own making: a network namespace, and its components within.

use std::path::PathBuf;

use crate::cluster::Cluster;
use crate::error::LabError;
use crate::state::Claims;
use crate::{control_plane, forwarding, kernel_settings, network, node, tools};

/// What such clusters are started from, built once a machine.
#[derive(Debug)]
pub(crate) struct Programs {
    binaries: PathBuf,
    pause_image: Option<PathBuf>,
}

impl Programs {
    /// Builds what is not in the cache; the pods' own image only where one of the clusters has a node.
    pub(crate) async fn build(with_pods: bool) -> Result<Self, LabError> {
        let binaries = on_a_blocking_thread(tools::kubernetes).await?;
        let pause_image = if with_pods { Some(on_a_blocking_thread(tools::pause_image).await?) } else { None };
        Ok(Self { binaries, pause_image })
    }
}

/// Starts what does not run and returns when control plane and node are ready.
pub(crate) async fn start(cluster: &Cluster, programs: &Programs) -> Result<(), LabError> {
    {
        let claims = Claims::open()?;
        kernel_settings::raise(&claims)?;
        forwarding::enable()?;
    }
    network::create(cluster.index).await?;
    network::heal(cluster.index).await?;
    cluster.credentials.create(cluster.name(), cluster.index)?;
    start_control_plane(cluster, programs).await?;
    if let Some(pause_image) = programs.pause_image.as_ref().filter(|_| cluster.has_node()) {
        node::start(cluster, &programs.binaries, pause_image).await?;
    }
    Ok(())
}

/// Starts what does not run of the control plane and returns when it is ready.
pub(crate) async fn start_control_plane(cluster: &Cluster, programs: &Programs) -> Result<(), LabError> {
    control_plane::start(cluster, &programs.binaries).await
}

async fn on_a_blocking_thread(
    work: impl FnOnce() -> Result<PathBuf, LabError> + Send + 'static,
) -> Result<PathBuf, LabError> {
    let failed = |error: tokio::task::JoinError| LabError::Missing(format!("the build of a tool ended: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}
