//! The hub: a real control plane of the lab with Skyfleet's definitions.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;
use skyfleet_e2e::{Backend, ClusterSpec, Lab, LabError, LabSpec, tools};
use tokio::process::Command;
use tokio::task::spawn_blocking;

use crate::error::BenchError;

/// The lab's name.
const LAB: &str = "bench-fleet";
/// The operator's namespace.
pub(crate) const NAMESPACE: &str = "skyfleet-system";

/// The hub; its lab ends with it.
pub(crate) struct Hub {
    pub(crate) client: Client,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) folder: PathBuf,
    /// One JSON line for each write.
    pub(crate) audit_log: PathBuf,
    _lab: Lab,
}

impl Hub {
    /// Starts a hub, without what an earlier run may have left.
    pub(crate) async fn start() -> Result<Self, BenchError> {
        skyfleet_e2e::remove(LAB).await?;
        let clusters = vec![ClusterSpec::control_plane("hub")];
        let lab = Lab::up_on(Backend::Namespaces, LabSpec { name: LAB.to_owned(), clusters }).await?.down_on_drop();
        let cluster = lab.cluster("hub")?;
        let hub = Self {
            client: cluster.client().await?,
            kubeconfig: cluster.kubeconfig(),
            folder: cluster.folder().to_owned(),
            audit_log: cluster.audit_log(),
            _lab: lab,
        };
        hub.install_definitions().await?;
        hub.make_namespace().await?;
        Ok(hub)
    }

    async fn install_definitions(&self) -> Result<(), BenchError> {
        let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds");
        self.kubectl("kubectl apply", &["apply", "--server-side", "-f", &definitions.to_string_lossy()]).await?;
        self.kubectl("kubectl wait", &["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).await
    }

    async fn kubectl(&self, command: &'static str, arguments: &[&str]) -> Result<(), BenchError> {
        let binaries =
            spawn_blocking(tools::kubernetes).await.map_err(|error| LabError::Missing(error.to_string()))??;
        let mut kubectl = Command::new(binaries.join("kubectl"));
        kubectl.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments);
        let output = kubectl.output().await.map_err(BenchError::io("run kubectl"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(BenchError::Command { command, said: String::from_utf8_lossy(&output.stderr).into_owned() })
    }

    async fn make_namespace(&self) -> Result<(), BenchError> {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(NAMESPACE.to_owned());
        let api = Api::<Namespace>::all(self.client.clone());
        api.create(&PostParams::default(), &namespace).await.map_err(BenchError::hub("make a Namespace"))?;
        Ok(())
    }

    /// Creates an object that has just been described.
    pub(crate) async fn create<K>(&self, api: Api<K>, object: serde_json::Value) -> Result<(), BenchError>
    where
        K: Clone + serde::de::DeserializeOwned + serde::Serialize + std::fmt::Debug,
    {
        let object = serde_json::from_value(object).map_err(kube::Error::SerdeError);
        let object: K = object.map_err(BenchError::hub("describe an object"))?;
        api.create(&PostParams::default(), &object).await.map_err(BenchError::hub("create an object"))?;
        Ok(())
    }
}

/// Metadata with this name.
pub(crate) fn named(name: &str) -> serde_json::Value {
    json!({"name": name})
}
