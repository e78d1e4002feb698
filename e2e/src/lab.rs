//! A lab: several clusters, started, stopped and cut off from each other as one likes.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::unistd::Uid;
use tracing::info;

use crate::backend::Backend;
use crate::cluster::Cluster;
use crate::error::LabError;
use crate::install;
use crate::namespaces::{self, Programs};
use crate::spec::{LabSpec, merge};
use crate::state::{Claims, LabLock, LabState, check_name, lab_folder};
use crate::status::{self, ClusterStatus};
use crate::{control_plane, kind, network, node, teardown};

/// A handle on a lab. The lab itself lives in the kernel and on disk: it outlives the handle, unless
/// [`Lab::down_on_drop`] says otherwise.
#[derive(Debug)]
pub struct Lab {
    name: String,
    folder: PathBuf,
    clusters: Vec<Cluster>,
    down_on_drop: bool,
}

impl Lab {
    /// Makes the lab so: builds what is not in the cache, makes clusters that are missing, starts what has stopped, heals
    /// partitions. Clusters that the lab has beyond the spec stay. Call it again after a crash and it goes on.
    ///
    /// # Errors
    /// Without root; when programs are missing; when a component does not start, with the end of its log. What has been made
    /// stays, for a look and for the next call.
    pub async fn up(spec: LabSpec) -> Result<Self, LabError> {
        let backend = Backend::for_lab(&spec.name, None).await?;
        Self::up_on(backend, spec).await
    }

    /// As [`Lab::up`], with clusters made in a certain way.
    ///
    /// # Errors
    /// As [`Lab::up`], and when the lab is there and made in another way.
    pub async fn up_on(backend: Backend, spec: LabSpec) -> Result<Self, LabError> {
        require_root()?;
        let folder = lab_folder(&spec.name)?;
        for cluster in &spec.clusters {
            check_name(&cluster.name)?;
        }
        let with_pods = spec.clusters.iter().any(|cluster| cluster.pods);
        install::check(backend, with_pods)?;
        let programs = programs(backend, with_pods).await?;

        let lock = LabLock::acquire(&spec.name).await?;
        make_private_folder(&folder)?;
        let state = LabState::read(&folder)?.unwrap_or(LabState { backend, clusters: Vec::new() });
        if state.backend != backend {
            return Err(LabError::OtherBackend { lab: spec.name, made: state.backend, asked: backend });
        }
        merge(state, &spec).write(&folder)?;
        let lab = Self::attach(&spec.name, folder)?;
        for cluster in &lab.clusters {
            start_cluster(cluster, programs.as_ref()).await?;
        }
        drop(lock);
        Ok(lab)
    }

    /// A lab that is on this machine, whether it runs or not.
    ///
    /// # Errors
    /// Without root, or when there is none of that name.
    pub fn open(name: &str) -> Result<Self, LabError> {
        require_root()?;
        let folder = lab_folder(name)?;
        if LabState::read(&folder)?.is_none() {
            return Err(LabError::NoLab { lab: name.to_owned() });
        }
        Self::attach(name, folder)
    }

    /// Claims a number for each cluster in the state file.
    fn attach(name: &str, folder: PathBuf) -> Result<Self, LabError> {
        let state = LabState::read(&folder)?.unwrap_or_default();
        let claims = Claims::open()?;
        let mut clusters = Vec::new();
        for spec in state.clusters {
            let cluster_folder = folder.join(&spec.name);
            let index = claims.claim(&cluster_folder)?;
            clusters.push(Cluster::new(state.backend, spec, cluster_folder, index)?);
        }
        Ok(Self { name: name.to_owned(), folder, clusters, down_on_drop: false })
    }

    /// From now on the lab ends when this handle goes, also in a panic: for tests.
    #[must_use]
    pub fn down_on_drop(mut self) -> Self {
        self.down_on_drop = true;
        self
    }

    /// The lab's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of the lab's data, removed with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All clusters, in the order they were asked for.
    #[must_use]
    pub fn clusters(&self) -> &[Cluster] {
        &self.clusters
    }

    /// One cluster by name.
    ///
    /// # Errors
    /// When the lab has none of that name; the message lists those it has.
    pub fn cluster(&self, name: &str) -> Result<&Cluster, LabError> {
        self.clusters.iter().find(|cluster| cluster.name() == name).ok_or_else(|| LabError::UnknownCluster {
            lab: self.name.clone(),
            cluster: name.to_owned(),
            known: self.clusters.iter().map(Cluster::name).collect::<Vec<_>>().join(", "),
        })
    }

    /// Ends every process of a cluster at once, pods too, as a power cut does.
    ///
    /// # Errors
    /// When there is no such cluster, or the kernel refuses.
    pub async fn stop(&self, cluster: &str) -> Result<(), LabError> {
        let _lock = LabLock::acquire(&self.name).await?;
        let cluster = self.cluster(cluster)?;
        match cluster.backend {
            Backend::Namespaces => teardown::stop(cluster.index, &cluster.folder).await,
            Backend::Kind => kind::stop(cluster).await,
        }
    }

    /// Starts a stopped cluster from its data on disk, and heals it if it was cut off.
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub async fn start(&self, cluster: &str) -> Result<(), LabError> {
        let _lock = LabLock::acquire(&self.name).await?;
        let cluster = self.cluster(cluster)?;
        let programs = programs(cluster.backend, cluster.has_node()).await?;
        start_cluster(cluster, programs.as_ref()).await
    }

    /// Ends etcd, API server, controller manager and scheduler. Kubelet, kube-proxy and the pods go on.
    ///
    /// # Errors
    /// As [`Lab::stop`].
    pub async fn stop_control_plane(&self, cluster: &str) -> Result<(), LabError> {
        let _lock = LabLock::acquire(&self.name).await?;
        let cluster = self.cluster(cluster)?;
        match cluster.backend {
            Backend::Namespaces => control_plane::stop(cluster).await,
            Backend::Kind => kind::stop_control_plane(cluster).await,
        }
    }

    /// Undoes [`Lab::stop_control_plane`].
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub async fn start_control_plane(&self, cluster: &str) -> Result<(), LabError> {
        let _lock = LabLock::acquire(&self.name).await?;
        let cluster = self.cluster(cluster)?;
        match programs(cluster.backend, false).await? {
            Some(programs) => namespaces::start_control_plane(cluster, &programs).await,
            None => kind::start_control_plane(cluster).await,
        }
    }

    /// Ends a cluster's node at once, its pods too, as when a machine breaks; the control plane goes on. [`Lab::start`] brings it back.
    /// Where kind makes the cluster, the control plane is on that node and goes with it.
    ///
    /// # Errors
    /// As [`Lab::stop`].
    pub async fn stop_node(&self, cluster: &str) -> Result<(), LabError> {
        let _lock = LabLock::acquire(&self.name).await?;
        let cluster = self.cluster(cluster)?;
        match cluster.backend {
            Backend::Namespaces => node::clear_remains(cluster).await,
            Backend::Kind => kind::stop(cluster).await,
        }
    }

    /// Cuts a cluster off from the machine and all other clusters: packets are dropped both ways, so connections hang rather
    /// than end. Within the cluster all goes on, its own object store too.
    ///
    /// # Errors
    /// When there is no such cluster, or its network is not there.
    pub async fn partition(&self, cluster: &str) -> Result<(), LabError> {
        network::partition(self.cluster(cluster)?.index).await
    }

    /// Undoes [`Lab::partition`].
    ///
    /// # Errors
    /// When there is no such cluster.
    pub async fn heal(&self, cluster: &str) -> Result<(), LabError> {
        network::heal(self.cluster(cluster)?.index).await
    }

    /// Puts an image archive (OCI or Docker, e.g. by [`crate::image::write_archive`]) onto a cluster's node. Pods name it by
    /// its reference, with `imagePullPolicy: IfNotPresent` or `Never`.
    ///
    /// # Errors
    /// When the cluster has no node, or the archive is not one.
    pub async fn load_image(&self, cluster: &str, archive: &Path) -> Result<(), LabError> {
        let cluster = self.cluster(cluster)?;
        if !cluster.has_node() {
            return Err(LabError::NoNode { cluster: cluster.name().to_owned(), action: "load images onto" });
        }
        match cluster.backend {
            Backend::Namespaces => node::load_image(cluster, archive).await,
            Backend::Kind => kind::load_image(cluster, archive).await,
        }
    }

    /// Looks at a cluster.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn status(&self, cluster: &str) -> Result<ClusterStatus, LabError> {
        let cluster = self.cluster(cluster)?;
        match cluster.backend {
            Backend::Namespaces => status::look(cluster).await,
            Backend::Kind => kind::look(cluster).await,
        }
    }

    /// Ends the lab and leaves nothing of it: no process, mount, namespace, link, cgroup, container or file.
    ///
    /// # Errors
    /// When the kernel refuses; call it again then.
    pub async fn down(mut self) -> Result<(), LabError> {
        self.down_on_drop = false;
        teardown::remove(&self.name).await
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.down_on_drop {
            return;
        }
        // A runtime cannot be blocked on from within another: a thread of its own can.
        let name = self.name.clone();
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .map_err(|error| error.to_string())?
                .block_on(teardown::remove(&name))
                .map_err(|error| error.to_string())
        });
        match ended.join() {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => eprintln!("the lab {} could not be ended: {reason}", self.name),
            Err(_) => eprintln!("the lab {} could not be ended", self.name),
        }
    }
}

async fn start_cluster(cluster: &Cluster, programs: Option<&Programs>) -> Result<(), LabError> {
    let start = Instant::now();
    fs::create_dir_all(&cluster.folder).map_err(LabError::file("make the folder", &cluster.folder))?;
    match programs {
        Some(programs) => namespaces::start(cluster, programs).await?,
        None => kind::start(cluster).await?,
    }
    let what = if cluster.has_node() { "control plane and node" } else { "control plane" };
    info!("{} is up: {what} at {} ({:.1} s)", cluster.name(), cluster.server(), start.elapsed().as_secs_f32());
    Ok(())
}

/// What clusters of the lab's own making are started from; kind brings its own.
async fn programs(backend: Backend, with_pods: bool) -> Result<Option<Programs>, LabError> {
    match backend {
        Backend::Namespaces => Programs::build(with_pods).await.map(Some),
        Backend::Kind => Ok(None),
    }
}

/// Whoever reads an administrator's kubeconfig can start privileged pods, which are root on this machine.
fn make_private_folder(folder: &Path) -> Result<(), LabError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(LabError::file("make the folder", folder))
}

pub(crate) fn require_root() -> Result<(), LabError> {
    if Uid::effective().is_root() { Ok(()) } else { Err(LabError::NotRoot) }
}
