//! Has ModelDeployments that were scaled to zero come back when a gateway has requests for them: what it tells goes into the annotation
//! by which autoscaling is asked, as anybody may set it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use skyfleet_api::{ModelDeployment, labels};
use tokio::time::timeout;

use super::follow::{key, names};
use crate::operator::context::Context;
use crate::operator::model_route::Routes;

/// A request that came so soon after the one that is known tells nothing new: autoscaling counts in minutes.
const NEWER: SignedDuration = SignedDuration::from_secs(30);
/// For the hub to take it.
const PATCH_LIMIT: Duration = Duration::from_secs(5);

/// Asks for those that gateways have requests for.
pub(super) async fn wake(context: &Context, routes: &Routes) {
    let requested = context.gateway_reports.requested(Timestamp::now());
    if requested.is_empty() {
        return;
    }
    for model in context.models.state() {
        let Ok(model) = &model.0 else { continue };
        let Some(at) = requested.get(&key(model)).filter(|at| is_to_wake(model, **at)) else { continue };
        // A gateway has no say in others than those that requests may be for.
        let only = BTreeSet::from([key(model)]);
        if routes.state().iter().any(|route| route.0.as_ref().is_ok_and(|route| names(route, &only))) {
            Box::pin(ask(context, model, *at)).await;
        }
    }
}

/// Whether it may be at zero, and it is not known yet that it was requested at this time.
fn is_to_wake(model: &ModelDeployment, at: Timestamp) -> bool {
    let known = model.annotations().get(labels::REQUESTED_AT).and_then(|text| text.parse::<Timestamp>().ok());
    let may_be_at_zero = model.spec.autoscaling.as_ref().is_some_and(|spec| spec.min_replicas == 0);
    may_be_at_zero && known.is_none_or(|known| at.duration_since(known) >= NEWER)
}

async fn ask(context: &Context, model: &ModelDeployment, at: Timestamp) {
    let (namespace, name) = (model.namespace().unwrap_or_default(), model.name_any());
    let api = Api::<ModelDeployment>::namespaced(context.hub.clone(), &namespace);
    let change = Patch::Merge(json!({"metadata": {"annotations": {labels::REQUESTED_AT: at.to_string()}}}));
    let params = PatchParams::default();
    match timeout(PATCH_LIMIT, api.patch(&name, &params, &change)).await {
        Ok(Ok(_)) => tracing::info!(namespace, name, %at, "a gateway has requests for it, and no replica"),
        Ok(Err(error)) => {
            tracing::warn!(namespace, name, %error, "cannot note that a gateway has requests for it; trying again");
        }
        Err(_) => tracing::warn!(namespace, name, "the hub does not note in time that a gateway has requests for it"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn model(autoscaling: &Value, requested: Option<&str>) -> ModelDeployment {
        let annotations = requested.map_or(json!({}), |at| json!({labels::REQUESTED_AT: at}));
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": "llama", "namespace": "ml", "annotations": annotations},
            "spec": {
                "runtime": {"preset": "vllm"}, "model": {"name": "m", "image": {}}, "replicas": 1, "autoscaling": autoscaling,
            },
        }))
        .expect("a ModelDeployment")
    }

    #[test]
    fn only_what_may_be_at_zero_is_asked_for_and_not_for_every_request() {
        let to_zero = json!({"minReplicas": 0, "maxReplicas": 3, "targetInFlight": 8});
        let at = "2026-11-28T12:00:00Z".parse().expect("a time");
        for (autoscaling, requested, is) in [
            (&to_zero, None, true),
            (&to_zero, Some("nonsense"), true),
            (&to_zero, Some("2026-11-28T11:59:00Z"), true),
            (&to_zero, Some("2026-11-28T11:59:45Z"), false),
            (&to_zero, Some("2026-11-28T13:00:00Z"), false),
            (&json!({"minReplicas": 1, "maxReplicas": 3, "targetInFlight": 8}), None, false),
            (&Value::Null, None, false),
        ] {
            assert_eq!(is_to_wake(&model(autoscaling, requested), at), is, "{autoscaling} {requested:?}");
        }
    }
}
