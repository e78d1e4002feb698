//! Reads what a ModelRoute depends on: the ModelDeployments it names, and the other ModelRoutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::{Client, Resource, ResourceExt};
use skyfleet_api::{ModelDeployment, ModelRoute, ModelRouteSpec};

use super::Routes;
use crate::operator::error::ReconcileError;
use crate::routing::wanted_secrets;

/// ModelDeployments by name; `None` for one that is not there.
pub(super) type Models = BTreeMap<String, Option<ModelDeployment>>;

/// The keys of Secrets by their names; `None` for one that is not there. Those that the operator may not read are left out.
pub(super) type Secrets = BTreeMap<String, Option<BTreeSet<String>>>;

/// Everything a pass goes by, read at one moment.
pub(super) struct Found {
    pub(super) models: Models,
    /// All other routes.
    pub(super) others: Vec<Arc<DeserializeGuard<ModelRoute>>>,
    /// Those that TLS with replicas goes by.
    pub(super) secrets: Secrets,
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
    let secrets = secrets(hub, route).await?;
    Ok(Found { models, others, secrets })
}

async fn secrets(hub: &Client, route: &ModelRoute) -> Result<Secrets, ReconcileError> {
    let api = Api::<Secret>::namespaced(hub.clone(), &route.namespace().unwrap_or_default());
    let mut secrets = Secrets::new();
    for (name, _) in route.spec.tls.iter().flat_map(wanted_secrets) {
        if secrets.contains_key(name) {
            continue;
        }
        match api.get_opt(name).await {
            Ok(secret) => {
                let keys = |secret: Secret| secret.data.unwrap_or_default().into_keys().collect();
                secrets.insert(name.to_owned(), secret.map(keys));
            }
            // It is the gateways that need them: they say it if they may not have one either.
            Err(kube::Error::Api(status)) if status.code == 403 => {}
            Err(error) => return Err(ReconcileError::hub("read a Secret")(error)),
        }
    }
    Ok(secrets)
}
