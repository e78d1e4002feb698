//! Connects to a member, removes there what nobody owns any more, and says when it may leave.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::Api;
use skyfleet_api::conditions::Reason;
use skyfleet_api::{Cluster, ModelDeployment, labels};

use super::validate::Refusal;
use crate::operator::context::Context;
use crate::operator::dataset_replica::jobs_in;
use crate::operator::error::ReconcileError;
use crate::operator::fleet::{Connection, Member};
use crate::operator::member_objects;
use crate::operator::release::may_release;

/// Connects, or keeps the connection there is.
pub(super) async fn connect(context: &Context, name: &str, connection: Connection) -> Result<Arc<Member>, Refusal> {
    context.fleet.connect(name, connection).await.map_err(|error| {
        context.fleet.disconnect(name);
        Refusal::new(Reason::InvalidCredentials, error.to_string())
    })
}

/// Removes objects whose ModelDeployment is gone: it was deleted while the member could not be reached. An object is seen
/// first and its owner is looked for afterwards, so that one just made is never taken for an orphan.
pub(super) async fn sweep(context: &Context, member: &Member) -> Result<(), ReconcileError> {
    if !member.usable() {
        return Ok(());
    }
    let held = member_objects::owners(&member.objects);
    if held.is_empty() {
        return Ok(());
    }
    let known: BTreeSet<String> = context.models.state().iter().filter_map(|model| model.uid()).collect();
    for orphan in held.iter().filter(|owner| !known.contains(&owner.uid)) {
        // The watch may be late: the hub itself has the last word on what is to be removed.
        let models = Api::<ModelDeployment>::namespaced(context.hub.clone(), &orphan.namespace);
        let found = models.get_metadata_opt(&orphan.name).await;
        let found = found.map_err(ReconcileError::hub("look for the owner of what a member holds"))?;
        if found.and_then(|model| model.uid()).as_ref() == Some(&orphan.uid) {
            continue;
        }
        tracing::info!(
            namespace = orphan.namespace,
            name = orphan.name,
            "removing what a deleted ModelDeployment left in a member"
        );
        if let Err(error) = member_objects::remove(member, orphan).await {
            tracing::warn!(%error, "it could not be removed; trying again later");
        }
    }
    Ok(())
}

/// What a Cluster that is being deleted still waits for; `None` when it may go.
pub(super) fn departure(cluster: &Cluster, member: Option<&Member>, now: Timestamp) -> Option<String> {
    let asked = cluster.annotations().get(labels::ABANDON_UNREACHABLE).is_some_and(|value| value == "true");
    let deleted_at = cluster.metadata.deletion_timestamp.as_ref().map_or(now, |time| time.0);
    let waited: SignedDuration = now.duration_since(deleted_at);
    match member {
        Some(member) if member.usable() && jobs_in(member) > 0 && !asked => {
            Some("Jobs of DatasetReplicas and their credentials are being removed from here".to_owned())
        }
        Some(member) if member.usable() => {
            let left = member_objects::owners(&member.objects).len();
            (left > 0 && !asked).then(|| {
                format!(
                    "{left} ModelDeployment(s) still have replicas here; they go once their replacements serve. To leave them \
                     here and let the Cluster go, set the annotation {}=true",
                    labels::ABANDON_UNREACHABLE
                )
            })
        }
        Some(member) if !member.settled() => Some("waiting for the first answer of the member".to_owned()),
        _ if may_release(asked, waited) => None,
        _ => Some(crate::operator::release::waiting("the member cannot be reached")),
    }
}
