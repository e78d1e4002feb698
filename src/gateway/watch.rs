//! What the hub says, and which pods the gateway's own cluster has, as both change.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, pending};
use futures::stream::{BoxStream, select_all, unfold};
use futures::{FutureExt as _, Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use skyfleet_api::{Cluster, ModelDeployment, ModelRoute, labels};
use skyfleet_gateway::Gateway;
use skyfleet_gateway::config::Config;
use tokio::sync::watch;
use tokio::time::{interval, sleep};

use super::api_server::Known;
use super::fleet::{Clusters, Fleet};
use super::pods::Pods;
use super::routes::config;
use super::secrets::{self, Secrets};
use crate::watching;

/// What changes together comes within this.
const TOGETHER: Duration = Duration::from_millis(50);

type Guarded<K> = DeserializeGuard<K>;

/// What is watched.
pub(super) struct Watched {
    pub(super) hub: Client,
    /// The only namespace of which routes are served.
    pub(super) namespace: Option<String>,
    /// The Cluster that the gateway runs in.
    pub(super) own: Option<String>,
    /// It, where the gateway may ask it for pods.
    pub(super) own_client: Option<Client>,
    /// The Clusters that are reached through their API servers.
    pub(super) relayed: watch::Receiver<Known>,
}

/// All that is known.
struct Stores {
    routes: Store<Guarded<ModelRoute>>,
    models: Store<Guarded<ModelDeployment>>,
    clusters: Store<Guarded<Cluster>>,
    slices: Option<Store<Guarded<EndpointSlice>>>,
    relayed: watch::Receiver<Known>,
}

/// Has the gateway go by what the hub says, as long as it is polled. While the hub cannot be reached, it goes by what that said last.
pub(super) async fn follow(watched: Watched, gateway: Arc<Gateway>, told: watch::Sender<Option<Arc<Config>>>) {
    let own = watched.own.clone();
    let mut secrets = Secrets::new(watched.hub.clone());
    let mut read_again = interval(secrets::EVERY);
    let (stores, mut events) = stores(&watched);
    let (mut filled, mut with_pods) = (pin!(stores.filled()), stores.with_pods());
    let (mut is_filled, mut are_pods_known) = (false, false);
    loop {
        let mut is_time = false;
        tokio::select! {
            event = events.next() => if event.is_none() { return },
            () = &mut filled, if !is_filled => is_filled = true,
            () = &mut with_pods, if !are_pods_known => are_pods_known = true,
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
        let mut now = stores.config(&routes, own.as_deref(), are_pods_known);
        secrets.fill(&routes, &mut now);
        if told.borrow().as_deref() == Some(&now) {
            continue;
        }
        for conflict in gateway.configure(now.clone()) {
            let name = |place: usize| now.routes.get(place).map_or("", |route| route.name.as_str());
            let (route, earlier) = (name(conflict.route), name(conflict.taken_by));
            tracing::warn!(route, earlier, what = conflict.what, "an earlier ModelRoute takes these requests");
        }
        tracing::info!(routes = now.routes.len(), "the routes have changed");
        told.send_replace(Some(Arc::new(now)));
    }
}

/// Stores, and what fills them.
fn stores(Watched { hub, namespace, own_client, relayed, .. }: &Watched) -> (Stores, impl Stream<Item = ()> + use<>) {
    let namespace = namespace.as_deref();
    let everything = watching::config();
    let (routes, route_events) = reflect(scoped::<ModelRoute>(hub, namespace), &everything);
    let (models, model_events) = reflect(scoped::<ModelDeployment>(hub, namespace), &everything);
    let (clusters, cluster_events) = reflect(Api::all(hub.clone()), &everything);
    // A slice has the labels of its Service.
    let own = everything.clone().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER));
    let slices = own_client.as_ref().map(|client| reflect(scoped::<EndpointSlice>(client, namespace), &own));
    let (slices, slice_events) = slices.unzip();
    let changes = unfold(relayed.clone(), async |mut relayed| relayed.changed().await.ok().map(|()| ((), relayed)));
    let changes = changes.boxed();
    let events = [route_events, model_events, cluster_events, changes].into_iter().chain(slice_events);
    (Stores { routes, models, clusters, slices, relayed: relayed.clone() }, select_all(events))
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

    /// Waits until all pods are there: for ever where nobody tells them.
    fn with_pods(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self.slices.clone() {
            Some(slices) => async move { slices.wait_until_ready().await.unwrap_or_default() }.boxed(),
            None => pending().boxed(),
        }
    }

    fn config(&self, routes: &[ModelRoute], own: Option<&str>, are_pods_known: bool) -> Config {
        let pods = self.slices.as_ref().filter(|_| are_pods_known).map(|slices| Pods::new(&decoded(slices)));
        let clusters: Clusters =
            decoded(&self.clusters).into_iter().map(|cluster| (cluster.name_any(), cluster)).collect();
        let relayed = self.relayed.borrow().clone();
        let fleet = Fleet::from_within(own, &clusters, pods.as_ref()).through_api_servers(&relayed);
        config(routes, &decoded(&self.models), fleet)
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
fn reflect<K>(api: Api<Guarded<K>>, which: &watcher::Config) -> (Store<Guarded<K>>, BoxStream<'static, ()>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let events = watcher(api, which.clone())
        .backoff(watching::backoff())
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects()
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
                tracing::warn!(%kind, %error, "cannot be watched: the gateway goes on by what it knows");
                None
            }
        });
    (store, events.boxed())
}
