//! A look at a cluster: what of it runs.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::error::LabError;
use crate::{control_plane, network, node};

/// Whether a cluster's processes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// All components.
    Up,
    /// Some components; the names of those missing are in [`ClusterStatus::stopped`].
    Partly,
    /// None.
    Stopped,
}

/// What a look at a cluster finds.
#[derive(Debug, Clone)]
pub struct ClusterStatus {
    /// Whether it runs.
    pub power: Power,
    /// The components that do not run.
    pub stopped: Vec<&'static str>,
    /// Cut off by [`crate::Lab::partition`].
    pub partitioned: bool,
    /// All processes, the pods' too.
    pub processes: usize,
    /// Whether the node is Ready; None without a node, or when the API server does not answer.
    pub node_ready: Option<bool>,
}

/// Looks at a cluster of the lab's own making without changing it.
pub(crate) async fn look(cluster: &Cluster) -> Result<ClusterStatus, LabError> {
    let node_components: &[&'static str] = if cluster.has_node() { &node::COMPONENTS } else { &[] };
    let components = || control_plane::COMPONENTS.iter().chain(node_components).copied();
    let stopped: Vec<&'static str> = components().filter(|component| !cluster.is_running(component)).collect();
    let power = match stopped.len() {
        0 => Power::Up,
        missing if missing == components().count() => Power::Stopped,
        _ => Power::Partly,
    };
    let partitioned = network::is_partitioned(cluster.index).await?;
    let reachable = !partitioned && cluster.is_running("kube-apiserver");
    Ok(ClusterStatus {
        power,
        stopped,
        partitioned,
        processes: cluster.cgroup.processes(None).len(),
        node_ready: if reachable && cluster.has_node() { Some(node_is_ready(cluster).await?) } else { None },
    })
}

async fn node_is_ready(cluster: &Cluster) -> Result<bool, LabError> {
    let client = cluster.client().await?;
    let check = node::is_ready(cluster, &client, jiff::Timestamp::UNIX_EPOCH);
    Ok(matches!(tokio::time::timeout(Duration::from_secs(5), check).await, Ok(Ok(()))))
}
