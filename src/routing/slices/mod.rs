//! What the EndpointSlices of clusters say, of each that the gateway may ask: the one it runs in, and those that it has kubeconfigs for.

mod belief;
mod cluster;
#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tests;

pub(crate) use belief::Said;
pub(super) use belief::believed;

use std::collections::HashMap;
use std::sync::Arc;

use kube::Client;
use kube::api::Api;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The Clusters that there are kubeconfigs for, each with a client for its API server: another one when the kubeconfig has changed.
pub(crate) type Known = Arc<HashMap<String, Arc<Client>>>;

/// Whom to ask.
pub(crate) struct Asked {
    /// The cluster that the gateway runs in, where it may ask it.
    pub(crate) own: Option<(String, Client)>,
    /// The others.
    pub(crate) known: watch::Receiver<Known>,
    /// The only namespace that counts.
    pub(crate) namespace: Option<String>,
}

/// A cluster that is asked.
struct Follower {
    client: Arc<Client>,
    task: AbortOnDropHandle<()>,
}

/// Tells what the clusters say, as long as it is polled.
pub(crate) async fn follow(Asked { own, mut known, namespace }: Asked, said: watch::Sender<Said>) {
    let (own, said) = (own.map(|(name, client)| (name, Arc::new(client))), Arc::new(said));
    let mut followers = HashMap::<String, Follower>::new();
    loop {
        let mut now = known.borrow_and_update().as_ref().clone();
        now.extend(own.clone());
        let is_gone = |name: &String, follower: &mut Follower| {
            !now.get(name).is_some_and(|client| Arc::ptr_eq(client, &follower.client))
        };
        let gone: Vec<_> = followers.extract_if(is_gone).collect();
        for (_, Follower { task, .. }) in gone {
            task.abort();
            // What it says now would stay.
            let _cancelled = task.await;
        }
        said.send_if_modified(|said| {
            let before = said.len();
            // One whose kubeconfig has changed is believed until it says something else.
            said.retain(|name, _| now.contains_key(name));
            said.len() < before
        });
        for (name, client) in now {
            followers.entry(name.clone()).or_insert_with(|| {
                let asked = (*client).clone();
                let api = match &namespace {
                    Some(namespace) => Api::namespaced(asked, namespace),
                    None => Api::all(asked),
                };
                let task = AbortOnDropHandle::new(tokio::spawn(cluster::follow(name, api, said.clone())));
                Follower { client, task }
            });
        }
        if known.changed().await.is_err() {
            // Nobody tells of others; those known are followed on.
            std::future::pending::<()>().await;
        }
    }
}
