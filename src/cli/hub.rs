//! The hub, as the person's kubeconfig reaches it.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use skyfleet_api::ModelDeployment;

use super::failure::Failure;
use super::target::Target;

/// The hub answers one request well within this.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Where the hub is, in kubectl's words.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HubArgs {
    /// The namespace [default: the kubeconfig context's]
    #[arg(short, long)]
    pub(super) namespace: Option<String>,
    /// The kubeconfig [default: $KUBECONFIG, or ~/.kube/config]
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context [default: its current one]
    #[arg(long)]
    context: Option<String>,
}

impl HubArgs {
    /// Connects, and gives the namespace that is meant. `what` is what the hub is needed for.
    pub(super) async fn connect(&self, what: &str) -> Result<(Client, String), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Hub { what: what.to_owned(), reason: error.to_string() };
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = match &self.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(&error))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| failed(&error))?
            }
            None if self.context.is_some() => {
                Config::from_kubeconfig(&options).await.map_err(|error| failed(&error))?
            }
            None => Config::infer().await.map_err(|error| failed(&error))?,
        };
        let client = client(config).map_err(|error| failed(&error))?;
        let namespace = self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        Ok((client, namespace))
    }

    /// Connects, and reads the ModelDeployment that is meant.
    pub(super) async fn find(&self, target: &Target) -> Result<Found, Failure> {
        let (client, namespace) = self.connect(&target.to_string()).await?;
        let model = read(&client, &namespace, target).await?;
        Ok(Found { client, namespace, model })
    }
}

/// A ModelDeployment on the hub.
pub(super) struct Found {
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) model: ModelDeployment,
}

/// Reads a ModelDeployment.
pub(super) async fn read(client: &Client, namespace: &str, target: &Target) -> Result<ModelDeployment, Failure> {
    let api = Api::<ModelDeployment>::namespaced(client.clone(), namespace);
    let missing = || Failure::NoModelDeployment { name: target.name.clone(), namespace: namespace.to_owned() };
    api.get_opt(&target.name).await.map_err(failure(&target.to_string()))?.ok_or_else(missing)
}

/// The hub by the current context of the kubeconfig that is set.
pub(super) async fn infer(what: &str) -> Result<Client, Failure> {
    let failed = |reason: String| Failure::Hub { what: what.to_owned(), reason };
    let config = Config::infer().await.map_err(|error| failed(error.to_string()))?;
    client(config).map_err(|error| failed(error.to_string()))
}

fn client(mut config: Config) -> Result<Client, kube::Error> {
    config.connect_timeout = Some(TIMEOUT);
    config.read_timeout = Some(TIMEOUT);
    Client::try_from(config)
}

/// The failure that an answer of the hub is.
pub(super) fn failure(what: &str) -> impl FnOnce(kube::Error) -> Failure {
    move |error| Failure::Hub { what: what.to_owned(), reason: said(&error) }
}

/// What went wrong, in the API server's own words where it has answered.
pub(super) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}
