//! Watches the reports, tells those that they concern, and deletes what dead gateways have left.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Resource, ResourceExt};
use skyfleet_api::model_deployment::Strategy;
use skyfleet_api::{ModelDeployment, ModelDeploymentSpec, ModelRoute};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::{GatewayReports, Look, wake};
use crate::gateway::report::{LABEL, LABEL_VALUE};
use crate::operator::context::Context;
use crate::operator::model_route::{Routes, backend_names};
use crate::watching;

/// How often it is looked whether what is shown has to change.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Reports of gateways that are gone are deleted every so many looks.
const SWEEP_EVERY: u32 = 12;
/// For the hub to delete one.
const DELETE_LIMIT: Duration = Duration::from_secs(5);

/// Whom changes are told to.
pub(in crate::operator) struct Concerned {
    pub(in crate::operator) routes: Routes,
    pub(in crate::operator) route_triggers: mpsc::Sender<ObjectRef<DeserializeGuard<ModelRoute>>>,
    pub(in crate::operator) model_triggers: mpsc::Sender<ObjectRef<DeserializeGuard<ModelDeployment>>>,
}

/// Follows the reports until it is to stop.
pub(in crate::operator) async fn follow(context: &Context, concerned: Concerned, stop: CancellationToken) {
    let reports = &context.gateway_reports;
    let api = Api::<ConfigMap>::namespaced(context.hub.clone(), &context.namespace);
    let config = watching::config().labels(&format!("{LABEL}={LABEL_VALUE}"));
    let mut events = pin!(watch(api.clone(), config).backoff(watching::backoff()));
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut has_failed, mut was_filled, mut count) = (false, false, 0);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => match event {
                Some(event) => {
                    note(reports, event, &mut has_failed);
                    // Somebody waits.
                    stop.run_until_cancelled(wake::wake(context, &concerned.routes)).await;
                }
                None => return,
            },
            _ = looks.tick() => {
                let look = reports.look(was_filled, Timestamp::now());
                was_filled = reports.is_filled();
                context.metrics.gateways(look.gateways);
                // Until it is to stop: nobody may take what is told then.
                stop.run_until_cancelled(tell(context, &concerned, &look)).await;
                // Those that could not be written before.
                stop.run_until_cancelled(wake::wake(context, &concerned.routes)).await;
                count += 1;
                if count % SWEEP_EVERY == 0 {
                    Box::pin(sweep(&api, reports)).await;
                }
            }
        }
    }
}

fn note(reports: &GatewayReports, event: Result<Event<ConfigMap>, watcher::Error>, has_failed: &mut bool) {
    match event {
        Ok(event) => {
            *has_failed = false;
            reports.take(event, Timestamp::now());
        }
        // Every few seconds it would say the same.
        Err(error) if !std::mem::replace(has_failed, true) => {
            tracing::warn!(
                %error,
                "the reports of gateways cannot be watched: statuses and placement go by what they told last. May the \
                 operator get, list and watch ConfigMaps in its own namespace?"
            );
        }
        Err(error) => tracing::debug!(%error, "the reports of gateways cannot be watched"),
    }
}

/// Starts passes where something is shown, or placed by, that has changed: no others, however often gateways report.
async fn tell(context: &Context, concerned: &Concerned, look: &Look) {
    if !look.is_first && look.changed.is_empty() {
        return;
    }
    for route in concerned.routes.state() {
        if look.is_first || route.0.as_ref().is_ok_and(|route| names(route, &look.changed)) {
            // A status that is not looked at would go on to say what nobody tells any more.
            let _closed = concerned.route_triggers.send(ObjectRef::from_obj(&*route)).await;
        }
    }
    for model in context.models.state() {
        let Ok(found) = &model.0 else { continue };
        if goes_by_load(&found.spec) && look.changed.contains(&key(found)) {
            // A full queue is no reason to wait: there is work enough then, and the next pass sees the same.
            let _full_or_closed = concerned.model_triggers.try_send(ObjectRef::from_obj(&*model));
        }
    }
}

/// Whether the placement of its replicas may depend on what gateways tell.
fn goes_by_load(spec: &ModelDeploymentSpec) -> bool {
    matches!(spec.placement.strategy, Strategy::LeastConnection | Strategy::LeastResponseTime)
}

pub(super) fn names(route: &ModelRoute, models: &BTreeSet<String>) -> bool {
    let namespace = route.namespace().unwrap_or_default();
    backend_names(&route.spec).any(|name| models.contains(&format!("{namespace}/{name}")))
}

pub(super) fn key<K: Resource>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// Deletes the reports of gateways that died.
async fn sweep(api: &Api<ConfigMap>, reports: &GatewayReports) {
    for (name, resource_version) in reports.dead(Timestamp::now()) {
        // Not one that was renewed in this moment.
        let params = DeleteParams::default().preconditions(Preconditions { resource_version, uid: None });
        let is_gone = |code| matches!(code, 404 | 409);
        match timeout(DELETE_LIMIT, api.delete(&name, &params)).await {
            Ok(Ok(_)) => tracing::info!(name, "the report of a gateway that is gone was deleted"),
            Ok(Err(kube::Error::Api(status))) if is_gone(status.code) => {}
            Ok(Err(error)) => {
                tracing::warn!(name, %error, "the report of a gateway that is gone cannot be deleted; trying again");
            }
            Err(_) => tracing::warn!(name, "the hub does not delete the report of a gateway in time; trying again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_routes_of_the_namespace_to_a_changed_model_are_looked_at() {
        let route = |namespace: &str, model: &str| -> ModelRoute {
            serde_json::from_value(json!({
                "apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelRoute", "metadata": {"name": "r", "namespace": namespace},
                "spec": {"models": ["x"], "backends": [{"modelDeploymentRef": {"name": model}}]},
            }))
            .expect("a ModelRoute")
        };
        let changed = ["ml/m".to_owned()].into();
        for (namespace, model, is_told) in [("ml", "m", true), ("ml", "n", false), ("other", "m", false)] {
            assert_eq!(names(&route(namespace, model), &changed), is_told, "{namespace}/{model}");
        }
    }
}
