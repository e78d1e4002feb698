//! Reads what a ModelRoute depends on: the ModelDeployments it names, and the other ModelRoutes.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::{Client, Resource, ResourceExt};
use skyfleet_api::{ModelDeployment, ModelRoute, ModelRouteSpec};

use super::Routes;
use crate::operator::error::ReconcileError;

/// ModelDeployments by name; `None` for one that is not there.
pub(super) type Models = BTreeMap<String, Option<ModelDeployment>>;

/// Everything a pass goes by, read at one moment.
pub(super) struct Found {
    pub(super) models: Models,
    /// All other routes.
    pub(super) others: Vec<Arc<DeserializeGuard<ModelRoute>>>,
}

/// The names of the ModelDeployments that a route sends requests to, or copies.
pub(super) fn model_names(spec: &ModelRouteSpec) -> impl Iterator<Item = &str> {
    let shadow = spec.shadow.iter().map(|shadow| &shadow.model_deployment_ref);
    let backends = spec.backends.iter().map(|backend| &backend.model_deployment_ref);
    backends.chain(shadow).map(|reference| reference.name.as_str())
}

/// The names of those that answer.
pub(in crate::operator) fn backend_names(spec: &ModelRouteSpec) -> impl Iterator<Item = &str> {
    spec.backends.iter().map(|backend| backend.model_deployment_ref.name.as_str())
}

/// Reads everything.
pub(super) async fn dereference(hub: &Client, route: &ModelRoute, routes: &Routes) -> Result<Found, ReconcileError> {
    let api = Api::<ModelDeployment>::namespaced(hub.clone(), &route.namespace().unwrap_or_default());
    let mut models = Models::new();
    for name in model_names(&route.spec) {
        let model = api.get_opt(name).await.map_err(ReconcileError::hub("read a ModelDeployment"))?;
        models.insert(name.to_owned(), model);
    }
    // Before all are there, requests would look free that another route has.
    routes.wait_until_ready().await.map_err(|_| ReconcileError::Stopping)?;
    let mut others = routes.state();
    // By name: one that was made anew is not in conflict with what it was.
    others.retain(|other| {
        (&other.meta().namespace, &other.meta().name) != (&route.metadata.namespace, &route.metadata.name)
    });
    Ok(Found { models, others })
}
