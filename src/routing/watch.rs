//! What the hub says, and which pods clusters have, as both change.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::Either;
use futures::stream::{BoxStream, select_all, unfold};
use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use skyfleet_api::model_route::Driver;
use skyfleet_api::{Cluster, ModelDeployment, ModelRoute};
use skyfleet_gateway::config::Config;
use tokio::sync::watch;
use tokio::time::{interval, sleep};

use super::fleet::{Clusters, Fleet};
use super::routes::config;
use super::secrets::{self, Secrets};
use super::slices::{Known, Said, believed};
use crate::watching;

/// What changes together comes within this.
const TOGETHER: Duration = Duration::from_millis(50);

type Guarded<K> = DeserializeGuard<K>;

/// What is watched.
pub(crate) struct Watched {
    pub(crate) hub: Client,
    /// For whom.
    pub(crate) driver: Driver,
    /// The only namespace of which routes are served.
    pub(crate) namespace: Option<String>,
    /// The Cluster that this program runs in.
    pub(crate) own: Option<String>,
    /// The network that it is in, if it runs in none.
    pub(crate) network: Option<String>,
    /// What the EndpointSlices of clusters say.
    pub(crate) said: watch::Receiver<Said>,
    /// The Clusters that are reached through their API servers.
    pub(crate) relayed: watch::Receiver<Known>,
}

/// All that is known.
struct Stores {
    routes: Store<Guarded<ModelRoute>>,
    models: Store<Guarded<ModelDeployment>>,
    clusters: Store<Guarded<Cluster>>,
    /// The hub has said something since it could last not be watched.
    is_hub_heard: Arc<AtomicBool>,
}

/// Tells what is to be done as the hub says, as long as it is polled. While the hub cannot be reached, what it said last stays.
pub(crate) async fn follow(watched: Watched, told: watch::Sender<Option<Arc<Config>>>) {
    let mut secrets = Secrets::new(watched.hub.clone(), watched.driver);
    let mut read_again = interval(secrets::EVERY);
    let (stores, mut events) = stores(&watched);
    let (mut filled, mut is_filled) = (pin!(stores.filled()), false);
    loop {
        let mut is_time = false;
        tokio::select! {
            event = events.next() => if event.is_none() { return },
            () = &mut filled, if !is_filled => is_filled = true,
            _ = read_again.tick(), if secrets.are_named() => is_time = true,
        }
        // Until all is known, what is missing may only not have come yet.
        if !is_filled {
            continue;
        }
        let together = sleep(TOGETHER);
        tokio::pin!(together);
        while let Either::Left(_) = futures::future::select(events.next(), &mut together).await {}
        let routes = decoded(&stores.routes);
        secrets.read(&routes, is_time).await;
        let mut now = stores.config(&routes, &watched);
        secrets.fill(&routes, &mut now);
        if told.borrow().as_deref() == Some(&now) {
            continue;
        }
        tracing::info!(routes = now.routes.len(), "the routes have changed");
        told.send_replace(Some(Arc::new(now)));
    }
}

/// Stores, and what fills them, beside all else that changes.
fn stores(Watched { hub, namespace, said, relayed, .. }: &Watched) -> (Stores, impl Stream<Item = ()> + use<>) {
    let (namespace, is_hub_heard) = (namespace.as_deref(), Arc::new(AtomicBool::new(false)));
    let (routes, route_events) = reflect(scoped::<ModelRoute>(hub, namespace), &is_hub_heard);
    let (models, model_events) = reflect(scoped::<ModelDeployment>(hub, namespace), &is_hub_heard);
    let (clusters, cluster_events) = reflect(Api::all(hub.clone()), &is_hub_heard);
    let events = select_all([route_events, model_events, cluster_events, changes(said), changes(relayed)]);
    (Stores { routes, models, clusters, is_hub_heard }, events)
}

fn changes<T: Send + Sync + 'static>(of: &watch::Receiver<T>) -> BoxStream<'static, ()> {
    unfold(of.clone(), async |mut of| of.changed().await.ok().map(|()| ((), of))).boxed()
}

impl Stores {
    /// Waits until all that the hub has is there.
    async fn filled(&self) {
        // None of them goes before its store.
        let (_, _, _) = futures::join!(
            self.routes.wait_until_ready(),
            self.models.wait_until_ready(),
            self.clusters.wait_until_ready()
        );
    }

    fn config(&self, routes: &[ModelRoute], Watched { driver, own, network, said, relayed, .. }: &Watched) -> Config {
        let clusters: Clusters =
            decoded(&self.clusters).into_iter().map(|cluster| (cluster.name_any(), cluster)).collect();
        let pods = believed(&said.borrow(), &clusters, self.is_hub_heard.load(Ordering::Relaxed));
        let relayed = relayed.borrow().keys().cloned().collect();
        let fleet = Fleet::from_outside(&clusters).within(own.as_deref()).in_network(network.as_deref());
        let fleet = fleet.with_pods(&pods).through_api_servers(&relayed);
        config(*driver, routes, &decoded(&self.models), fleet)
    }
}

/// What can be read. What cannot is left out, and stalls nothing else.
fn decoded<K>(store: &Store<Guarded<K>>) -> Vec<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.state().iter().filter_map(|object| object.0.as_ref().ok().cloned()).collect()
}

fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<Guarded<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// A store and what fills it.
fn reflect<K>(api: Api<Guarded<K>>, is_hub_heard: &Arc<AtomicBool>) -> (Store<Guarded<K>>, BoxStream<'static, ()>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let ((store, writer), is_hub_heard) = (reflector::store(), is_hub_heard.clone());
    let events = watcher(api, watching::config())
        .backoff(watching::backoff())
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects()
        .inspect(move |event| is_hub_heard.store(event.is_ok(), Ordering::Relaxed))
        .filter_map(async |event| match event {
            Ok(object) => {
                if let Err(error) = &object.0 {
                    let (kind, name) = (K::kind(&()), object.name_any());
                    tracing::warn!(%kind, name, %error, "cannot be read, and is left out");
                }
                Some(())
            }
            Err(error) => {
                let kind = K::kind(&());
                tracing::warn!(%kind, %error, "cannot be watched: what is known stays");
                None
            }
        });
    (store, events.boxed())
}
