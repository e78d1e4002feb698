//! What the hub says, as it changes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::Either;
use futures::{Stream, StreamExt};
use kube::api::Api;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use skyfleet_api::{ModelDeployment, ModelRoute};
use skyfleet_gateway::Gateway;
use skyfleet_gateway::config::Config;
use tokio::sync::watch;
use tokio::time::sleep;

use super::routes::config;
use crate::watching;

/// What changes together comes within this.
const TOGETHER: Duration = Duration::from_millis(50);

type Guarded<K> = DeserializeGuard<K>;

/// Has the gateway go by what the hub says, as long as it is polled. While the hub cannot be reached, it goes by what that said last.
pub(super) async fn follow(
    hub: Client,
    (namespace, cluster): (Option<String>, Option<String>),
    gateway: Arc<Gateway>,
    told: watch::Sender<Option<Arc<Config>>>,
) {
    let (routes, route_events) = reflect::<ModelRoute>(&hub, namespace.as_deref());
    let (models, model_events) = reflect::<ModelDeployment>(&hub, namespace.as_deref());
    let mut events = futures::stream::select(route_events, model_events);
    let (all_routes, all_models) = (routes.clone(), models.clone());
    let mut filled = pin!(async move { futures::join!(all_routes.wait_until_ready(), all_models.wait_until_ready()) });
    let mut is_filled = false;
    loop {
        tokio::select! {
            event = events.next() => if event.is_none() { return },
            _ = &mut filled, if !is_filled => is_filled = true,
        }
        // Until all is known, what is missing may only not have come yet.
        if !is_filled {
            continue;
        }
        let together = sleep(TOGETHER);
        tokio::pin!(together);
        while let Either::Left(_) = futures::future::select(events.next(), &mut together).await {}
        let now = config(&decoded(&routes), &decoded(&models), cluster.as_deref());
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

/// What can be read. What cannot is left out, and stalls nothing else.
fn decoded<K>(store: &Store<Guarded<K>>) -> Vec<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + 'static,
{
    store.state().iter().filter_map(|object| object.0.as_ref().ok().cloned()).collect()
}

/// A store and what fills it.
fn reflect<K>(hub: &Client, namespace: Option<&str>) -> (Store<Guarded<K>>, impl Stream<Item = ()> + Send + use<K>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let api = match namespace {
        Some(namespace) => Api::<Guarded<K>>::namespaced(hub.clone(), namespace),
        None => Api::<Guarded<K>>::all(hub.clone()),
    };
    let (store, writer) = reflector::store();
    let events = watcher(api, watching::config())
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
                tracing::warn!(%error, "the hub does not answer: the gateway goes on by what it knows");
                None
            }
        });
    (store, Box::pin(events))
}
