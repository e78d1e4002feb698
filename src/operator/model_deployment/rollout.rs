//! Keeps the revisions of a ModelDeployment on the hub, and asks the plan which cluster runs which.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::json;
use skyfleet_api::conditions::{ConditionType, find};
use skyfleet_api::model_deployment::{PlacementStatus, Rollout as RolloutSpec, RolloutStatus};
use skyfleet_api::{ModelDeployment, ModelDeploymentSpec, labels};
use skyfleet_plan::load::Load;
use skyfleet_plan::placement::Plan;
use skyfleet_plan::revision::Revision;
use skyfleet_plan::rollout::{Answer, ClusterState, News, Question, advance};

use super::dereference::{FleetCluster, Snapshot};
use super::status::is_rolled_out;
use crate::operator::context::{Context, FIELD_MANAGER};
use crate::operator::error::ReconcileError;

/// Which cluster runs which revision; without `spec.rollout` all run what the spec says.
#[derive(Debug, Default)]
pub(super) struct Rollout {
    revisions: BTreeMap<String, Revision>,
    pub(super) answer: Option<Answer>,
}

impl Rollout {
    /// The revision that a cluster is told to run; `None` without a rollout.
    pub(super) fn revision(&self, cluster: &str) -> Option<&str> {
        self.answer.as_ref()?.revisions.get(cluster).map(String::as_str)
    }

    /// The content of that revision. Without a rollout there is none; when somebody has deleted it, that is said.
    pub(super) fn content(&self, cluster: &str) -> Result<Option<&Revision>, String> {
        let Some(name) = self.revision(cluster) else { return Ok(None) };
        let missing =
            || format!("the ControllerRevision of revision {name} was deleted: change the spec to roll out anew");
        self.revisions.get(name).map(Some).ok_or_else(missing)
    }

    /// How far it is.
    pub(super) fn status(&self) -> Option<&RolloutStatus> {
        self.answer.as_ref().map(|answer| &answer.status)
    }

    /// When it is to be looked at again although nothing changes.
    pub(super) fn look_again(&self) -> Option<Timestamp> {
        self.answer.as_ref().and_then(|answer| answer.look_again)
    }

    /// What of it is worth an event: reason, note, and whether it is a warning.
    pub(super) fn news(&self) -> Option<(&'static str, String, bool)> {
        let answer = self.answer.as_ref()?;
        let message = &answer.status.message;
        let target = &answer.status.target_revision;
        Some(match answer.news? {
            News::Began => ("RolloutBegan", format!("revision {target} begins to reach clusters"), false),
            News::WaveDone(wave) => {
                ("WaveDone", format!("wave {wave} of revision {target} is through its gates"), false)
            }
            News::Paused => ("RolloutPaused", format!("revision {target}: {message}"), true),
            News::RolledBack => ("RolledBack", format!("revision {target}: {message}"), true),
            News::Complete => ("RolloutComplete", format!("every cluster has revision {target}"), false),
        })
    }
}

/// Takes the rollout as far as it may go now, where the spec wants one.
///
/// # Errors
/// The hub does not list or keep revisions.
pub(super) async fn roll_out(
    context: &Context,
    model: &ModelDeployment,
    snapshot: &Snapshot,
    plan: &Plan,
    now: Timestamp,
) -> Result<Rollout, ReconcileError> {
    let Some(spec) = &model.spec.rollout else { return Ok(Rollout::default()) };
    let wanted = Revision::of(&model.spec, digest(model, snapshot));
    let target = wanted.name();
    let earlier = model.status.as_ref();
    let loads: Vec<Option<Load>> = snapshot.clusters.iter().map(|fleet| fleet.load(model)).collect();
    let states: Vec<ClusterState<'_>> = snapshot
        .clusters
        .iter()
        .zip(&loads)
        .filter_map(|(fleet, load)| state(model, fleet, load.as_ref(), plan))
        .collect();
    let answer = advance(&Question {
        spec,
        target: &target,
        status: earlier.and_then(|status| status.rollout.as_ref()),
        clusters: &states,
        now,
    });
    let used: BTreeSet<&str> = answer
        .revisions
        .values()
        .map(String::as_str)
        .chain(answer.status.stable_revision.as_deref())
        .chain([target.as_str()])
        .collect();
    let revisions = keep(context, model, spec, &wanted, &used).await?;
    Ok(Rollout { revisions, answer: Some(answer) })
}

/// The version of the data that the spec asks for: the one it pins, or else the newest verified one.
fn digest(model: &ModelDeployment, snapshot: &Snapshot) -> Option<String> {
    let pinned = model.spec.model.dataset_replica.as_ref().and_then(|dataset| dataset.digest.clone());
    let replica = snapshot.dataset.as_ref().and_then(|dataset| dataset.replica.as_ref());
    let newest = || {
        let status = replica?.status.as_ref()?;
        // What is transformed lies only at the targets.
        let is_made = replica?.spec.transform.is_some();
        let place =
            if is_made { status.targets.iter().find(|target| target.error.is_none()) } else { status.source.as_ref() };
        place?.manifest_digest.clone()
    };
    pinned.or_else(newest)
}

fn state<'a>(
    model: &'a ModelDeployment,
    fleet: &'a FleetCluster,
    load: Option<&'a Load>,
    plan: &Plan,
) -> Option<ClusterState<'a>> {
    let name = fleet.cluster.metadata.name.as_deref()?;
    let assignment = plan.assignment(name)?;
    let in_force = assignment.desired + assignment.retained;
    let usable = fleet.member.as_ref().is_some_and(|member| member.usable());
    let owed = assignment.displaced.as_ref().filter(|_| usable).map_or(0, |displaced| displaced.replicas);
    let placements = model.status.as_ref().map(|status| status.placements.as_slice()).unwrap_or_default();
    let placement = placements.iter().find(|placement| placement.cluster == name);
    let revision = placement.and_then(|placement| placement.revision.as_deref());
    let reachable = fleet.cluster.status.as_ref().and_then(|status| find(&status.conditions, ConditionType::Reachable));
    Some(ClusterState {
        name,
        replicas: in_force.max(owed),
        revision,
        updated: updated(model, fleet, placement, revision),
        reachable: usable,
        reachable_since: reachable.filter(|found| found.status == "True").map(|found| found.last_transition_time.0),
        load,
    })
}

/// Whether all replicas of a cluster run the revision it was told, and are ready.
fn updated(
    model: &ModelDeployment,
    fleet: &FleetCluster,
    placement: Option<&PlacementStatus>,
    revision: Option<&str>,
) -> bool {
    let (Some(member), Some(placement), Some(revision)) = (&fleet.member, placement, revision) else { return false };
    let reference = kube::runtime::reflector::ObjectRef::<Deployment>::new(&model.name_any())
        .within(&model.namespace().unwrap_or_default());
    let deployment = member.objects.deployments.get(&reference);
    let has = |deployment: &Deployment| deployment.annotations().get(labels::REVISION).is_some_and(|of| of == revision);
    deployment.as_ref().is_some_and(|found| has(found)) && is_rolled_out(placement, deployment.as_deref())
}

/// Keeps the wanted revision as the newest, and of the others as many as the spec says. Gives all that are there.
async fn keep(
    context: &Context,
    model: &ModelDeployment,
    spec: &RolloutSpec,
    wanted: &Revision,
    used: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Revision>, ReconcileError> {
    let api = Api::<ControllerRevision>::namespaced(context.hub.clone(), &model.namespace().unwrap_or_default());
    let selector = format!("{}={}", labels::MODEL_DEPLOYMENT, model.name_any());
    let found = api
        .list(&ListParams::default().labels(&selector))
        .await
        .map_err(ReconcileError::hub("list the ControllerRevisions"))?;
    let mut history: Vec<ControllerRevision> = found.items.into_iter().filter(|one| is_of(one, model)).collect();
    history.sort_by_key(|one| one.revision);
    let newest = history.last().map_or(0, |one| one.revision);
    let name = wanted.name();
    match history.iter().find(|one| name_of(one) == Some(&name)) {
        None => {
            let created = object(model, wanted, newest + 1)?;
            let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
            api.create(&params, &created).await.map_err(ReconcileError::hub("keep a ControllerRevision"))?;
            history.push(created);
        }
        Some(older) if older.revision < newest => {
            let change = Patch::Merge(json!({"revision": newest + 1}));
            api.patch(&older.name_any(), &PatchParams::default(), &change)
                .await
                .map_err(ReconcileError::hub("renumber a ControllerRevision"))?;
        }
        Some(_) => {}
    }
    let unused: Vec<&ControllerRevision> =
        history.iter().filter(|one| name_of(one).is_none_or(|name| !used.contains(name.as_str()))).collect();
    let limit = usize::try_from(spec.revision_history_limit).unwrap_or_default();
    for surplus in unused.iter().take(unused.len().saturating_sub(limit)) {
        match api.delete(&surplus.name_any(), &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            outcome => {
                outcome.map_err(ReconcileError::hub("delete an old ControllerRevision"))?;
            }
        }
    }
    Ok(history.iter().filter_map(content).collect())
}

/// Not of a namesake that was deleted.
fn is_of(revision: &ControllerRevision, model: &ModelDeployment) -> bool {
    revision.owner_references().iter().any(|owner| Some(&owner.uid) == model.metadata.uid.as_ref())
}

fn name_of(revision: &ControllerRevision) -> Option<&String> {
    revision.labels().get(labels::REVISION)
}

fn content(revision: &ControllerRevision) -> Option<(String, Revision)> {
    let data = revision.data.as_ref()?.0.clone();
    Some((name_of(revision)?.clone(), serde_json::from_value(data).ok()?))
}

fn object(model: &ModelDeployment, revision: &Revision, number: i64) -> Result<ControllerRevision, ReconcileError> {
    let name = revision.name();
    let data = serde_json::to_value(revision).map_err(|error| ReconcileError::Revision(error.to_string()))?;
    let mut object =
        ControllerRevision { data: Some(RawExtension(data)), revision: number, ..ControllerRevision::default() };
    object.metadata.name = Some(format!("{}-{name}", model.name_any()));
    object.metadata.namespace = model.namespace();
    object.metadata.owner_references = model.controller_owner_ref(&()).map(|owner| vec![owner]);
    object.metadata.labels = Some(BTreeMap::from([
        (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
        (labels::MODEL_DEPLOYMENT.to_owned(), model.name_any()),
        (labels::REVISION.to_owned(), name),
    ]));
    Ok(object)
}

/// The spec that a cluster runs by.
pub(super) fn spec_for(spec: &ModelDeploymentSpec, revision: Option<&Revision>) -> ModelDeploymentSpec {
    revision.map_or_else(|| spec.clone(), |revision| revision.in_spec(spec))
}
