//! Says what a pass found: writes a status that changed, and an event when the object's Ready condition did.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, PostParams};
use kube::core::object::HasStatus;
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skyfleet_api::conditions::{ConditionType, find};
use skyfleet_api::{BucketStatus, ClusterStatus, DatasetReplicaStatus, ModelDeploymentStatus};

use super::context::{Context, FIELD_MANAGER};
use super::error::ReconcileError;

/// An event's note holds 1,024 bytes.
const LONGEST_NOTE: usize = 1000;

/// A status with conditions.
pub(crate) trait Conditioned {
    fn conditions(&self) -> &[Condition];
}

impl Conditioned for ClusterStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

impl Conditioned for BucketStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

impl Conditioned for DatasetReplicaStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

impl Conditioned for ModelDeploymentStatus {
    fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

/// Writes `status` unless the object has it already, and gives the object as it now is. The write carries the version the
/// pass has read: when somebody else has written meanwhile (a new leader, say), it fails and the pass is made again.
///
/// # Errors
/// The hub refuses the write, or the object changed meanwhile.
pub(crate) async fn write_status<K>(
    context: &Context,
    api: &Api<K>,
    object: &K,
    status: K::Status,
) -> Result<K, ReconcileError>
where
    K: Resource<DynamicType = ()> + HasStatus + Clone + Debug + Serialize + DeserializeOwned,
    K::Status: Conditioned + PartialEq + Clone,
{
    if object.status() == Some(&status) {
        return Ok(object.clone());
    }
    let event = event(object.status(), &status);
    let mut changed = object.clone();
    *changed.status_mut() = Some(status);
    changed.managed_fields_mut().clear();
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let written = api
        .replace_status(&object.name_any(), &params, &changed)
        .await
        .map_err(ReconcileError::hub("write the status"))?;
    if let Some(event) = event {
        send(context, object, &event).await;
    }
    Ok(written)
}

/// Writes an event about an object.
pub(crate) async fn publish<K: Resource<DynamicType = ()>>(
    context: &Context,
    object: &K,
    reason: &str,
    note: &str,
    warning: bool,
) {
    let event = Event {
        type_: if warning { EventType::Warning } else { EventType::Normal },
        reason: reason.to_owned(),
        note: Some(note.chars().take(LONGEST_NOTE).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    send(context, object, &event).await;
}

async fn send<K: Resource<DynamicType = ()>>(context: &Context, object: &K, event: &Event) {
    if let Err(error) = context.recorder.publish(event, &object.object_ref(&())).await {
        tracing::warn!(%error, "an event could not be written; the status says the same");
    }
}

/// The event that tells of a changed Ready condition; `None` when only details changed.
fn event<S: Conditioned>(before: Option<&S>, after: &S) -> Option<Event> {
    let ready = find(after.conditions(), ConditionType::Ready)?;
    let said = before.and_then(|before| find(before.conditions(), ConditionType::Ready));
    if said.is_some_and(|said| (&said.status, &said.reason) == (&ready.status, &ready.reason)) {
        return None;
    }
    let stalled = find(after.conditions(), ConditionType::Stalled).is_some();
    Some(Event {
        type_: if stalled { EventType::Warning } else { EventType::Normal },
        reason: ready.reason.clone(),
        note: Some(ready.message.chars().take(LONGEST_NOTE).collect()),
        action: "Reconcile".to_owned(),
        secondary: None,
    })
}

/// The sentence for fields that this version does not act on.
pub(crate) fn unsupported(fields: &[String]) -> String {
    format!(
        "not acted on by this version, so the object is refused rather than half obeyed: {}; remove it",
        fields.join(", ")
    )
}
