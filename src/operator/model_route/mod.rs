//! `ModelRoute`: say who answers its requests. It is the gateways that act on it, and nothing is made here.

mod dereference;
mod lacks;
mod replicas;
mod requests;
mod route_watch;
mod status;
mod validate;

pub(super) use dereference::backend_names;

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use kube::api::{Api, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Client, Resource, ResourceExt};
use skyfleet_api::{Cluster, ModelDeployment, ModelRoute};

use super::context::Context;
use super::controller::Turn;
use super::error::ReconcileError;
use super::report::write_status;
use crate::routing::Fleet;
use replicas::Replicas;

/// When it is looked again whether the Secrets are there that a route names.
const SECRETS_AGAIN: Duration = Duration::from_mins(1);

/// All ModelRoutes.
pub(super) type Routes = Store<DeserializeGuard<ModelRoute>>;

/// The controller: ModelRoutes, the ModelDeployments they name, and the other ModelRoutes, which it gives too. `told` names those of which
/// gateways tell something else than before.
pub(super) fn controller(
    hub: &Client,
    told: impl Stream<Item = ObjectRef<DeserializeGuard<ModelRoute>>> + Send + 'static,
) -> (Controller<DeserializeGuard<ModelRoute>>, Routes) {
    let controller = Controller::new(Api::all(hub.clone()), watcher::Config::default());
    let routes = controller.store();
    let (all, changes) = route_watch::route_watch(hub);
    let models = Api::<PartialObjectMeta<ModelDeployment>>::all(hub.clone());
    let controller = controller.reconcile_all_on(changes).reconcile_on(told);
    let controller = controller.watches(models, watcher::Config::default(), move |model| {
        let name = model.name_any();
        let named = |route: &DeserializeGuard<ModelRoute>| {
            route.meta().namespace == model.metadata.namespace
                && route.0.as_ref().is_ok_and(|route| dereference::model_names(&route.spec).any(|of| of == name))
        };
        let state = routes.state();
        state.iter().filter(|route| named(route)).map(|route| ObjectRef::from_obj(&**route)).collect::<Vec<_>>()
    });
    // Where a cluster is matters only to routes that must not go everywhere.
    let (clusters, routes) = (Api::<PartialObjectMeta<Cluster>>::all(hub.clone()), controller.store());
    let controller = controller.watches(clusters, watcher::Config::default(), move |_| {
        let is_bound = |route: &DeserializeGuard<ModelRoute>| {
            route.0.as_ref().is_ok_and(|route| route.spec.locality.residency.is_some())
        };
        let state = routes.state();
        state.iter().filter(|route| is_bound(route)).map(|route| ObjectRef::from_obj(&**route)).collect::<Vec<_>>()
    });
    (controller, all)
}

/// One pass over a ModelRoute.
///
/// # Errors
/// The hub does not do what is asked. Whatever is wrong with the route is in its conditions instead.
pub(super) async fn reconcile(
    route: Arc<ModelRoute>,
    context: Arc<Context>,
    _turn: Turn,
    routes: Routes,
) -> Result<Action, ReconcileError> {
    if route.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let found = dereference::dereference(&context.hub, &route, &routes).await?;
    let clusters = context.clusters.state().iter().map(|cluster| (cluster.name_any(), (**cluster).clone())).collect();
    let fleet = Fleet::from_outside(&clusters);
    let replicas = Replicas::count(&route, &found.models, fleet);
    let findings = validate::validate(&route, &found, &replicas, fleet);
    let namespace = route.namespace().unwrap_or_default();
    let told = context.gateway_reports.shown(&namespace, backend_names(&route.spec));
    let told = told.as_ref().map(requests::by_cluster);
    let status = status::status(&route, replicas, told.as_ref(), &findings, jiff::Timestamp::now());
    let api = Api::namespaced(context.hub.clone(), &namespace);
    write_status(&context, &api, &*route, status).await?;
    // Secrets are not watched for routes.
    Ok(if route.spec.tls.is_some() { Action::requeue(SECRETS_AGAIN) } else { Action::await_change() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use skyfleet_api::ModelRoute;

    use super::dereference::Models;
    use crate::routing::Clusters;

    /// Two clouds.
    pub(super) fn clusters() -> Clusters {
        let cluster = |(name, provider, region): (&str, &str, &str)| {
            let connection = json!({"kubeconfigSecretRef": {"name": name}});
            let spec = json!({"provider": provider, "region": region, "connection": connection});
            let cluster = json!({"apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name}, "spec": spec});
            (name.to_owned(), serde_json::from_value(cluster).expect("a Cluster"))
        };
        [("aws-1", "aws", "eu-central-1"), ("gcp-1", "gcp", "us-east1")].map(cluster).into()
    }

    /// A route of the namespace `ml` for the model `m`, answered by the ModelDeployment of that name where the spec says nothing else.
    pub(super) fn route(spec: &Value) -> ModelRoute {
        let mut all = json!({"models": ["m"], "backends": [{"modelDeploymentRef": {"name": "m"}}]});
        all.as_object_mut().expect("an object").extend(spec.as_object().expect("fields").clone());
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelRoute", "spec": all,
            "metadata": {"name": "r", "namespace": "ml", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
        }))
        .expect("a ModelRoute")
    }

    /// ModelDeployments with replicas in these places.
    pub(super) fn models(placements: &[(&str, Value)]) -> Models {
        let model = |placements: &Value| {
            serde_json::from_value(json!({
                "apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "m"},
                "spec": {"runtime": {"preset": "vllm"}, "replicas": 1, "model": {"name": "m", "image": {}}},
                "status": {"placements": placements},
            }))
            .expect("a ModelDeployment")
        };
        placements.iter().map(|(name, placements)| ((*name).to_owned(), Some(model(placements)))).collect()
    }

    /// So many ready replicas in a cluster, or one that is not.
    pub(super) fn placement(cluster: &str, ready: i32, endpoint: Option<&str>) -> Value {
        json!({"cluster": cluster, "desired": ready, "replicas": ready.max(1), "ready": ready, "endpoint": endpoint})
    }
}
