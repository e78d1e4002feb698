//! Says what a pass found: writes a status that changed, and an event when the object's Ready condition did.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Api, PostParams};
use kube::core::object::HasStatus;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skyfleet_api::conditions::{ConditionType, find};
use skyfleet_api::{BucketStatus, ClusterStatus, DatasetReplicaStatus, ModelDeploymentStatus, ModelRouteStatus};

use super::context::{Context, FIELD_MANAGER};
use super::error::ReconcileError;

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

impl Conditioned for ModelRouteStatus {
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
    let news = news(object.status(), &status);
    let mut changed = object.clone();
    *changed.status_mut() = Some(status);
    changed.managed_fields_mut().clear();
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let written = api
        .replace_status(&object.name_any(), &params, &changed)
        .await
        .map_err(ReconcileError::hub("write the status"))?;
    if let Some((reason, message, warning)) = news {
        context.events.tell(object, &reason, &message, warning);
    }
    Ok(written)
}

/// What an event has to tell, its reason, its note and whether it is a warning: that Ready changed. `None` when only details did.
fn news<S: Conditioned>(before: Option<&S>, after: &S) -> Option<(String, String, bool)> {
    let ready = find(after.conditions(), ConditionType::Ready)?;
    let said = before.and_then(|before| find(before.conditions(), ConditionType::Ready));
    if said.is_some_and(|said| (&said.status, &said.reason) == (&ready.status, &ready.reason)) {
        return None;
    }
    let stalled = find(after.conditions(), ConditionType::Stalled).is_some();
    Some((ready.reason.clone(), ready.message.clone(), stalled))
}

/// The sentence for fields that this version does not act on.
pub(crate) fn unsupported(fields: &[String]) -> String {
    format!(
        "not acted on by this version, so the object is refused rather than half obeyed: {}; remove it",
        fields.join(", ")
    )
}
