//! Makes each member hold its share, and only that.

use std::collections::BTreeMap;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use serde_json::json;
use skyfleet_api::{ModelDeployment, labels};
use skyfleet_plan::workload::Share;

use super::Decisions;
use super::dereference::{FleetCluster, Snapshot};
use super::model_source::ModelState;
use super::rollout::spec_for;
use super::share;
use super::validate::known;
use crate::operator::context::{Context, FIELD_MANAGER};
use crate::operator::fleet::Member;
use crate::operator::member_objects::{MemberError, Owner, call, holds, remove};
use crate::operator::release::{may_release, waiting};

/// Members that one pass changes at once.
const MEMBERS_AT_ONCE: usize = 16;

/// How it went in one member, and what was seen there.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) deployment: Option<Deployment>,
    pub(super) service: Option<Service>,
    /// An address of one of its nodes, for a Service that is reached at every node.
    pub(super) node_address: Option<String>,
    pub(super) error: Option<String>,
}

/// Makes every member that can be changed hold what the plan says. A member that cannot be is not in the answer.
pub(super) async fn apply(
    context: &Context,
    model: &ModelDeployment,
    snapshot: &Snapshot,
    decisions: &Decisions,
) -> BTreeMap<String, Outcome> {
    let mut changes = Vec::new();
    for (cluster, member) in concerned(model, snapshot, decisions) {
        changes.push(change_member(context, model, cluster, member, decisions));
    }
    futures::stream::iter(changes).buffer_unordered(MEMBERS_AT_ONCE).collect().await
}

async fn change_member(
    context: &Context,
    model: &ModelDeployment,
    cluster: &str,
    member: &Member,
    decisions: &Decisions,
) -> (String, Outcome) {
    let outcome = match apply_member(context, model, cluster, member, decisions).await {
        // What was just written is newer than what the watch has shown: by the old one a rollout that begins looks done.
        Ok(Some((deployment, service))) => {
            let node_address = member.node_address();
            Outcome { deployment: Some(deployment), service: Some(service), node_address, error: None }
        }
        Ok(None) => look_at(model, member),
        Err(error) => Outcome { error: Some(error.to_string()), ..look_at(model, member) },
    };
    (cluster.to_owned(), outcome)
}

/// What members that can be changed show of the model now.
pub(super) fn look(model: &ModelDeployment, snapshot: &Snapshot, decisions: &Decisions) -> BTreeMap<String, Outcome> {
    let members = concerned(model, snapshot, decisions);
    members.map(|(cluster, member)| (cluster.to_owned(), look_at(model, member))).collect()
}

/// Members that can be changed and hold, held or shall hold something of the model: a few of a large fleet.
fn concerned<'a>(
    model: &ModelDeployment,
    snapshot: &'a Snapshot,
    decisions: &Decisions,
) -> impl Iterator<Item = (&'a str, &'a Member)> {
    let owner = owner(model);
    let placements = model.status.as_ref().map(|status| status.placements.as_slice()).unwrap_or_default();
    snapshot.usable().into_iter().filter(move |(cluster, member)| {
        decisions.plan.assignment(cluster).is_some()
            || placements.iter().any(|placement| placement.cluster == *cluster)
            || holds(&member.objects, &owner)
    })
}

fn look_at(model: &ModelDeployment, member: &Member) -> Outcome {
    Outcome {
        deployment: member.objects.deployments.get(&key(model)).map(|found| (*found).clone()),
        service: member.objects.services.get(&key(model)).map(|found| (*found).clone()),
        node_address: member.node_address(),
        error: None,
    }
}

/// The key of a ModelDeployment's objects in a member.
fn key<K: Resource<DynamicType = ()>>(model: &ModelDeployment) -> ObjectRef<K> {
    ObjectRef::new(&model.name_any()).within(&model.namespace().unwrap_or_default())
}

async fn apply_member(
    context: &Context,
    model: &ModelDeployment,
    cluster: &str,
    member: &Member,
    decisions: &Decisions,
) -> Result<Option<(Deployment, Service)>, MemberError> {
    let owner = owner(model);
    let assignment = decisions.plan.assignment(cluster);
    let replicas = assignment.map_or(0, |assignment| assignment.desired + assignment.retained);
    if replicas == 0 {
        if holds(&member.objects, &owner) {
            remove(member, &owner).await?;
        }
        return Ok(None);
    }
    let revision = decisions.rollout.content(cluster).map_err(MemberError::Revision)?;
    let spec = spec_for(&model.spec, revision);
    let verified = match decisions.request.models.get(cluster) {
        // Pods that run have loaded their model; those that would start now could not.
        Some(ModelState::Waiting(_)) => return reduce(member, model, replicas).await.map(|()| None),
        Some(ModelState::Verified(verified)) => Some(verified.of(revision)),
        None => None,
    };
    let share = Share {
        name: &owner.name,
        namespace: &owner.namespace,
        uid: &owner.uid,
        hub: &context.hub_id,
        cluster,
        replicas,
        spec: &spec,
        revision: decisions.rollout.revision(cluster),
        model: verified.as_ref().map(|verified| &verified.source),
        loader: &context.loader,
    };
    share::apply(member, &share, verified.as_ref()).await.map(Some)
}

/// Takes replicas away where there are more, and changes nothing else.
async fn reduce(member: &Member, model: &ModelDeployment, replicas: i32) -> Result<(), MemberError> {
    let found = member.objects.deployments.get(&key(model));
    let Some(found) = found.filter(|found| found.spec.as_ref().and_then(|spec| spec.replicas) > Some(replicas)) else {
        return Ok(());
    };
    let api = Api::<Deployment>::namespaced(member.client.clone(), &found.namespace().unwrap_or_default());
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let change = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    call(member, "scale", &share::what(&*found), api.patch(&found.name_any(), &params, &change)).await.map(drop)
}

fn owner(model: &ModelDeployment) -> Owner {
    Owner {
        namespace: model.namespace().unwrap_or_default(),
        name: model.name_any(),
        uid: model.uid().unwrap_or_default(),
    }
}

/// Removes everything of a ModelDeployment that is being deleted; says what is still waited for, `None` when all is done.
pub(super) async fn remove_everywhere(
    context: &Context,
    model: &ModelDeployment,
    clusters: &[FleetCluster],
    now: Timestamp,
) -> Option<String> {
    let owner = owner(model);
    let asked = model.annotations().get(labels::ABANDON_UNREACHABLE).is_some_and(|value| value == "true");
    let deleted_at = model.metadata.deletion_timestamp.as_ref().map_or(now, |time| time.0);
    let mut waits = Vec::new();
    for fleet in clusters {
        let name = fleet.cluster.name_any();
        match context.fleet.member(&name).filter(|member| member.usable()) {
            Some(member) => {
                if let Err(error) = remove(&member, &owner).await {
                    waits.push(format!("{name}: {error}"));
                } else if holds(&member.objects, &owner) {
                    waits.push(format!("{name}: its pods are ending"));
                }
            }
            // After a restart nothing was asked yet, however long ago the deletion was.
            None if !known(fleet) => waits.push(format!("{name}: waiting for its first answer")),
            None if !may_release(asked, now.duration_since(deleted_at)) && may_hold(model, &name) => {
                waits.push(waiting(&format!("{name} cannot be reached")));
            }
            None => {}
        }
    }
    (!waits.is_empty()).then(|| waits.join("; "))
}

/// Whether a cluster that cannot be asked may hold replicas: the status, written before any member was changed, knows.
fn may_hold(model: &ModelDeployment, cluster: &str) -> bool {
    model.status.as_ref().is_some_and(|status| status.placements.iter().any(|placement| placement.cluster == cluster))
}
