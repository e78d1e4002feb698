//! Removes labs and everything a cluster consists of, from what is on disk and in the kernel alone, in whatever state it is.

use std::path::Path;

use crate::addresses::Index;
use crate::backend::Backend;
use crate::cgroup::{self, Cgroup};
use crate::cluster::Cluster;
use crate::error::LabError;
use crate::lab::require_root;
use crate::spec::ClusterSpec;
use crate::state::{Claims, LabLock, lab_folder};
use crate::{forwarding, kernel_settings, kind, network, node};

/// Removes a lab, or what a crash left of one. Does nothing when there is none.
///
/// # Errors
/// Without root, or when the kernel refuses.
pub async fn remove(name: &str) -> Result<(), LabError> {
    require_root()?;
    let folder = lab_folder(name)?;
    let lock = LabLock::acquire(name).await?;
    let clusters = Claims::open()?.of_lab(&folder)?;
    for (index, cluster_folder) in clusters {
        remove_cluster(index, &cluster_folder).await?;
    }
    node::remove_folder(&folder)?;
    let claims = Claims::open()?;
    if claims.is_empty()? {
        kernel_settings::restore(&claims)?;
        forwarding::restore()?;
        cgroup::remove_common()?;
    }
    lock.remove()
}

/// Ends all that runs and removes mounts, namespaces, link, cgroups, what kind has made, files, and last the claim on the
/// number, so that what fails half-way can be done again.
async fn remove_cluster(index: Index, folder: &Path) -> Result<(), LabError> {
    stop(index, folder).await?;
    network::remove(index).await?;
    kind::remove(index, folder).await?;
    node::remove_folder(folder)?;
    Claims::open()?.release(index)
}

/// Ends every process of a cluster of the lab's own making at once and gives up what a machine without power gives up:
/// mounts, pods' networks, cgroups. The data on disk and the cluster's own network stay.
pub(crate) async fn stop(index: Index, folder: &Path) -> Result<(), LabError> {
    Cgroup::of(index)?.remove(None).await?;
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let spec = ClusterSpec { name, pods: true };
    node::clear_remains(&Cluster::new(Backend::Namespaces, spec, folder.to_owned(), index)?).await
}
