//! A whole fleet on this machine, as a user would set one up: a hub and three member clusters with real pods, an object
//! store in each cloud, the members' access given to the hub, and the operator installed with helm.

mod client;
mod manifests;
mod members;
mod operator;
mod stores;

pub use client::{Embedding, embed};
pub use manifests::{Manifests, NAMESPACE};
pub use operator::OPERATOR_NAMESPACE;
pub use stores::{BUCKETS, CloudStore};

use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use crate::artifacts::{self, BuiltImage};
use crate::command::output_of;
use crate::object_store::garage_binary;
use crate::{ClusterSpec, Lab, LabError, LabSpec, tools};

/// The hub's name in the lab.
pub const HUB: &str = "hub";
/// The members' names, one a cloud.
pub const MEMBERS: [&str; 3] = ["aws-1", "gcp-1", "azure-1"];

/// What is built before anything is started.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// The operator's image, which is the loader's too.
    pub skyfleet: BuiltImage,
    /// The example inference server's image.
    pub inference_server: BuiltImage,
    /// The `skyfleet` program.
    pub program: PathBuf,
    /// The folder with the model's files.
    pub model: PathBuf,
    /// helm.
    pub helm: PathBuf,
    /// The folder with kubectl.
    pub kubernetes: PathBuf,
    /// The object stores' program.
    pub garage: PathBuf,
}

impl Artifacts {
    /// Builds or downloads what is not in the cache. Cold this takes some fifteen minutes on two cores, warm seconds.
    ///
    /// # Errors
    /// When something cannot be built or downloaded.
    pub async fn build() -> Result<Self, LabError> {
        let build = || {
            Ok(Self {
                kubernetes: tools::kubernetes()?,
                garage: garage_binary()?,
                helm: artifacts::helm()?,
                model: artifacts::model()?,
                program: artifacts::skyfleet_program()?,
                skyfleet: artifacts::skyfleet_image()?,
                inference_server: artifacts::inference_server_image()?,
            })
        };
        spawn_blocking(build).await.map_err(|error| LabError::Missing(error.to_string()))?
    }
}

/// A fleet that runs.
#[derive(Debug)]
pub struct Fleet {
    /// Its clusters.
    pub lab: Lab,
    /// What it was made of.
    pub artifacts: Artifacts,
    /// The members' object stores, in the order of [`MEMBERS`].
    pub stores: Vec<CloudStore>,
}

impl Fleet {
    /// Starts a fleet, or what of it does not run: clusters, stores, buckets, access and operator. Nothing of Skyfleet's
    /// resources is applied yet. `say` is told of each step that is done.
    ///
    /// # Errors
    /// When a part cannot be started; what runs by then stays, and another call goes on from there.
    pub async fn up(name: &str, artifacts: Artifacts, say: impl Fn(&str)) -> Result<Self, LabError> {
        let clusters = std::iter::once(HUB).chain(MEMBERS).map(ClusterSpec::with_pods).collect();
        let lab = Lab::up(LabSpec { name: name.to_owned(), clusters }).await?;
        say("four Kubernetes clusters are up: hub, aws-1, gcp-1, azure-1");
        let stores = stores::start(&lab, &artifacts.garage).await?;
        say("each cloud has an object store with a bucket");
        let fleet = Self { lab, artifacts, stores };
        fleet.load_images().await?;
        say("images are on the nodes");
        members::join(&fleet).await?;
        say("the hub has been given access to each member");
        operator::install(&fleet).await?;
        say("helm has installed the operator on the hub, two pods of it");
        Ok(fleet)
    }

    /// From now on the fleet ends when this handle goes, also in a panic: for tests.
    #[must_use]
    pub fn down_on_drop(mut self) -> Self {
        self.lab = self.lab.down_on_drop();
        self
    }

    /// The examples, as this fleet can run them.
    ///
    /// # Errors
    /// When an example cannot be read.
    pub fn manifests(&self) -> Result<Manifests, LabError> {
        Manifests::read(self)
    }

    /// The hub's kubeconfig.
    ///
    /// # Errors
    /// When the lab has no hub.
    pub fn kubeconfig(&self) -> Result<PathBuf, LabError> {
        Ok(self.lab.cluster(HUB)?.kubeconfig())
    }

    /// Runs kubectl against a cluster, with `input` on its standard input, and gives its standard output.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub async fn kubectl(&self, cluster: &str, arguments: &[&str], input: &str) -> Result<String, LabError> {
        let mut command = tokio::process::Command::new(self.artifacts.kubernetes.join("kubectl"));
        let kubeconfig = self.lab.cluster(cluster)?.kubeconfig();
        // What kubectl remembers of a server is by its address, and another lab's cluster may just have had the same one.
        let cache = kubeconfig.with_file_name("kubectl-cache");
        command.arg("--kubeconfig").arg(&kubeconfig).arg("--cache-dir").arg(cache).args(arguments);
        output_of(command, input).await
    }

    /// Applies manifests on a cluster.
    ///
    /// # Errors
    /// As [`Fleet::kubectl`].
    pub async fn apply(&self, cluster: &str, manifests: &str) -> Result<(), LabError> {
        self.kubectl(cluster, &["apply", "-f", "-"], manifests).await.map(drop)
    }

    /// Puts a file into a bucket with `skyfleet upload`, as a user does.
    ///
    /// # Errors
    /// When the upload fails; with what it said.
    pub async fn upload(&self, file: &Path, bucket: &str, object: &str) -> Result<String, LabError> {
        let file = file.display().to_string();
        self.skyfleet(&["upload", "--namespace", NAMESPACE, &file, bucket, object]).await
    }

    /// Runs the `skyfleet` program against the hub and gives its standard output.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub async fn skyfleet(&self, arguments: &[&str]) -> Result<String, LabError> {
        let mut command = tokio::process::Command::new(&self.artifacts.program);
        command.env("KUBECONFIG", self.kubeconfig()?).args(arguments);
        output_of(command, "").await
    }

    /// Starts a member's object store again, after the whole cluster was stopped and started.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start_store(&self, member: &str) -> Result<(), LabError> {
        stores::start_one(self.lab.cluster(member)?, &self.artifacts.garage).await.map(drop)
    }

    async fn load_images(&self) -> Result<(), LabError> {
        let loads = self.lab.clusters().iter().flat_map(|cluster| {
            // The hub runs the operator only; a member's pods need the loader, which is the operator's image, too.
            let server = (cluster.name() != HUB).then_some(&self.artifacts.inference_server);
            let images = std::iter::once(&self.artifacts.skyfleet).chain(server);
            images.map(|image| self.lab.load_image(cluster.name(), &image.archive))
        });
        futures::future::try_join_all(loads).await.map(drop)
    }
}
