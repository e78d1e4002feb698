//! A folder with kubeconfigs, each named like its Cluster, as it changes: Kubernetes swaps the files of a Secret for others.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use skyfleet_gateway::{Gateway, Relay};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::ApiServer;
use crate::routing::Known;
use crate::routing::member_client::client;

/// Between two looks at the folder.
const EVERY: Duration = Duration::from_secs(10);

/// Has the gateway use the kubeconfigs of a folder, as long as it is polled, and tells for which Clusters there are some. One that
/// cannot be used is said once, and what was there before stays.
pub(crate) async fn follow(folder: PathBuf, gateway: Arc<Gateway>, told: watch::Sender<Known>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut files, mut clients) = (BTreeMap::new(), HashMap::new());
    let mut relays = HashMap::<String, Arc<dyn Relay>>::new();
    loop {
        ticks.tick().await;
        let now = match read(&folder).await {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "cannot read the kubeconfigs: those known stay in use");
                continue;
            }
        };
        if now == files {
            continue;
        }
        relays.retain(|cluster, _| now.contains_key(cluster));
        clients.retain(|cluster, _| now.contains_key(cluster));
        for (cluster, text) in now.iter().filter(|(cluster, text)| files.get(*cluster) != Some(*text)) {
            match api_server(cluster, text).await {
                Ok((relay, client)) => {
                    relays.insert(cluster.clone(), Arc::new(relay));
                    clients.insert(cluster.clone(), Arc::new(client));
                }
                Err(error) => tracing::error!(cluster, error, "cannot use its kubeconfig"),
            }
        }
        files = now;
        gateway.set_relays(relays.clone());
        told.send_replace(Arc::new(clients.clone()));
        tracing::info!(clusters = relays.len(), "there are kubeconfigs for the API servers of clusters");
    }
}

/// The kubeconfigs by the names of their Clusters. Files that begin with a dot are Kubernetes' own.
async fn read(folder: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let (mut found, mut entries) = (BTreeMap::new(), tokio::fs::read_dir(folder).await?);
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.insert(name, tokio::fs::read_to_string(entry.path()).await?);
        }
    }
    Ok(found)
}

async fn api_server(cluster: &str, text: &str) -> Result<(ApiServer, kube::Client), String> {
    // The parser's own words could quote a secret.
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(|_| "it is no kubeconfig in YAML or JSON".to_owned())?;
    let context = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &context).await.map_err(|error| error.to_string())?;
    let both = ApiServer::new(cluster, &config).and_then(|relay| Ok((relay, client(&config)?)));
    both.map_err(|error| error.to_string())
}
