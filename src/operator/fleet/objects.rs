//! A member's objects that belong to this hub: one watch a kind, kept in memory. Watches select by label, so that a member's
//! other objects are neither sent nor kept.

use futures::{Stream, StreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use skyfleet_api::labels;

use super::Triggers;
use crate::watching;

/// What this hub has in a member.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) deployments: Store<Deployment>,
    pub(crate) services: Store<Service>,
    pub(crate) secrets: Store<Secret>,
}

impl Objects {
    /// The stores and the watches that fill them; the watches run while the future is polled.
    pub(super) fn watch(
        client: &Client,
        hub_id: &str,
        triggers: &Triggers,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (deployments, deployment_events) = reflect::<Deployment>(client, hub_id);
        let (services, service_events) = reflect::<Service>(client, hub_id);
        let (secrets, secret_events) = reflect::<Secret>(client, hub_id);
        let triggers = triggers.models.clone();
        let mut events =
            futures::stream::select(deployment_events, futures::stream::select(service_events, secret_events));
        let watches = async move {
            while let Some(Some((namespace, name))) = events.next().await.map(Some) {
                let Some(name) = name else { continue };
                if triggers.send(ObjectRef::new(&name).within(&namespace)).await.is_err() {
                    return;
                }
            }
        };
        (Self { deployments, services, secrets }, watches)
    }

    /// Waits until every watch has shown what there is.
    pub(super) async fn synced(&self) {
        let (deployments, services, secrets) = futures::join!(
            self.deployments.wait_until_ready(),
            self.services.wait_until_ready(),
            self.secrets.wait_until_ready(),
        );
        if deployments.and(services).and(secrets).is_err() {
            // The watches were dropped: this member was replaced, and nobody waits for it any more.
            std::future::pending::<()>().await;
        }
    }
}

/// Where the owner of a changed object is: its namespace and, by its label, its name.
type Owner = (String, Option<String>);

fn reflect<K>(client: &Client, hub_id: &str) -> (Store<K>, impl Stream<Item = Owner> + Send + use<K>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync,
    K: 'static,
{
    let selector = format!("{}={},{}={hub_id}", labels::MANAGED_BY, labels::MANAGER, labels::HUB);
    let config = watching::config().labels(&selector);
    let (store, writer) = reflector::store();
    let events = watcher(Api::<K>::all(client.clone()), config)
        .backoff(watching::backoff())
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects()
        .filter_map(async |event| match event {
            Ok(object) => {
                Some((object.namespace().unwrap_or_default(), object.labels().get(labels::MODEL_DEPLOYMENT).cloned()))
            }
            Err(error) => {
                // Contact is judged by the probes; the watch tries again by itself.
                tracing::debug!(%error, "a watch in a member failed");
                None
            }
        });
    (store, Box::pin(events))
}
