//! Removes everything a cluster consists of, from what is on disk and in the kernel alone, in whatever state it is.

use std::path::Path;

use crate::addresses::Index;
use crate::cgroup::Cgroup;
use crate::cluster::Cluster;
use crate::error::LabError;
use crate::network;
use crate::node;
use crate::spec::ClusterSpec;
use crate::state::Claims;

/// Ends all that runs and removes mounts, namespaces, link, cgroups, files, and last the claim on the number, so that what
/// fails half-way can be done again.
pub(crate) async fn remove_cluster(index: Index, folder: &Path) -> Result<(), LabError> {
    stop(index, folder).await?;
    network::remove(index).await?;
    node::remove_folder(folder)?;
    Claims::open()?.release(index)
}

/// Ends every process of the cluster at once and gives up what a machine without power gives up: mounts, pods' networks,
/// cgroups. The data on disk and the cluster's own network stay.
pub(crate) async fn stop(index: Index, folder: &Path) -> Result<(), LabError> {
    Cgroup::of(index)?.remove(None).await?;
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    node::clear_remains(&Cluster::new(ClusterSpec { name, pods: true }, folder.to_owned(), index)?).await
}
