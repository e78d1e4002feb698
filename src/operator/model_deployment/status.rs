//! Says what runs where, and why.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::ResourceExt;
use skyfleet_api::conditions::{ConditionType, Finding, Reason, conditions, is_true};
use skyfleet_api::model_deployment::{AutoscalingStatus, PlacementStatus, RolloutPhase, RolloutStatus, ServiceType};
use skyfleet_api::{ModelDeployment, ModelDeploymentSpec, ModelDeploymentStatus};
use skyfleet_plan::failover::shortfall;
use skyfleet_plan::placement::{Assignment, Exclusion, Plan, Verdict};
use skyfleet_plan::workload::{pod_selector, service_port};

use super::Decisions;
use super::apply::Outcome;
use super::model_source::ModelState;
use super::rollout::spec_for;

/// Clusters of which a message says why they take no more; `explain` tells of all.
const EXPLAINED: usize = 8;

/// The status with what is decided now and what is seen before it is done, to be written before anything is changed; `None`
/// when the decisions are written already.
pub(super) fn reserve(
    model: &ModelDeployment,
    decisions: &Decisions,
    seen: &BTreeMap<String, Outcome>,
    now: Timestamp,
) -> Option<ModelDeploymentStatus> {
    let earlier = model.status.clone().unwrap_or_default();
    let plan = &decisions.plan;
    let placements = reservations(&earlier, decisions, now);
    let decided = |placements: &[PlacementStatus]| -> Vec<_> {
        let numbers = |of: &PlacementStatus| (of.desired, of.retained, of.displaced.clone());
        placements.iter().map(|of| (of.cluster.clone(), numbers(of), of.revision.clone())).collect()
    };
    let rollout = decisions.rollout.status();
    let for_members = decided(&placements) != decided(&earlier.placements) || rollout != earlier.rollout.as_ref();
    let changed = for_members || plan.rebalanced != earlier.rebalance || scaling(decisions) != earlier.autoscaling;
    changed.then(|| {
        let mut status = status(model, decisions, seen, now);
        // The members were not told yet: that all looks well is of what was decided before.
        if for_members && is_true(&status.conditions, ConditionType::Ready) {
            let findings = waiting_for_pods(status.ready_replicas, decisions.replicas);
            status.conditions = conditions(&earlier.conditions, &findings, model.metadata.generation, now);
        }
        status
    })
}

fn scaling(decisions: &Decisions) -> Option<AutoscalingStatus> {
    decisions.scaling.as_ref().map(|scaling| scaling.status.clone())
}

/// What is decided for each cluster, by name, with what was last seen there.
fn reservations(earlier: &ModelDeploymentStatus, decisions: &Decisions, now: Timestamp) -> Vec<PlacementStatus> {
    let assignments = decisions.plan.assignments.iter();
    let mut placements: Vec<PlacementStatus> =
        assignments.map(|assignment| reservation(earlier, assignment, decisions, now)).collect();
    // What a cluster still holds of an earlier decision stays in sight until it, or the cluster, is seen to be gone.
    let forgotten = |placement: &&PlacementStatus| {
        let cluster = &placement.cluster;
        decisions.plan.assignment(cluster).is_none() && decisions.plan.verdicts.contains_key(cluster)
    };
    placements.extend(earlier.placements.iter().filter(forgotten).map(|placement| PlacementStatus {
        desired: 0,
        retained: 0,
        displaced: None,
        ..placement.clone()
    }));
    placements.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    placements
}

fn reservation(
    earlier: &ModelDeploymentStatus,
    assignment: &Assignment,
    decisions: &Decisions,
    now: Timestamp,
) -> PlacementStatus {
    let before = earlier.placements.iter().find(|placement| placement.cluster == assignment.cluster).cloned();
    let before = before.unwrap_or_default();
    let why = match decisions.request.models.get(&assignment.cluster) {
        Some(ModelState::Waiting(what)) if assignment.desired > 0 => format!("{}; {what}", assignment.why),
        _ => assignment.why.clone(),
    };
    let in_force = assignment.desired + assignment.retained;
    let more = in_force > before.desired + before.retained;
    PlacementStatus {
        cluster: assignment.cluster.clone(),
        desired: assignment.desired,
        retained: assignment.retained,
        displaced: assignment.displaced.clone(),
        revision: decisions.rollout.revision(&assignment.cluster).map(str::to_owned),
        shortfall: if more { shortfall(None, before.ready, in_force, true, now) } else { before.shortfall.clone() },
        why,
        ..before
    }
}

/// The status of a ModelDeployment that nothing is decided for.
pub(super) fn without_plan(model: &ModelDeployment, findings: &[Finding], now: Timestamp) -> ModelDeploymentStatus {
    let earlier = model.status.clone().unwrap_or_default();
    let generation = model.metadata.generation;
    let conditions = conditions(&earlier.conditions, findings, generation, now);
    ModelDeploymentStatus {
        observed_generation: generation,
        conditions,
        selector: pod_selector(&model.name_any()),
        ..earlier
    }
}

/// The status of a ModelDeployment that is being deleted and waits.
pub(super) fn deleting(model: &ModelDeployment, wait: &str, now: Timestamp) -> ModelDeploymentStatus {
    without_plan(model, &Finding::reconciling(Reason::Deleting, wait), now)
}

/// The status after members were brought to what the plan says.
pub(super) fn status(
    model: &ModelDeployment,
    decisions: &Decisions,
    outcomes: &BTreeMap<String, Outcome>,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let plan = &decisions.plan;
    let earlier = model.status.clone().unwrap_or_default();
    let seen = |placement: PlacementStatus| match outcomes.get(&placement.cluster) {
        Some(outcome) => observed(model, placement, outcome, decisions, now),
        // Not asked: what was last seen is the best that is known.
        None => Some(placement),
    };
    let placements: Vec<PlacementStatus> =
        reservations(&earlier, decisions, now).into_iter().filter_map(seen).collect();
    let holding =
        placements.iter().filter(|placement| placement.desired > 0 || placement.retained > 0 || placement.replicas > 0);
    let clusters: Vec<&str> = holding.map(|placement| placement.cluster.as_str()).collect();
    let generation = model.metadata.generation;
    let findings = findings(decisions, outcomes, &placements);
    ModelDeploymentStatus {
        observed_generation: generation,
        conditions: conditions(&earlier.conditions, &findings, generation, now),
        replicas: placements.iter().map(|placement| placement.replicas).sum(),
        ready_replicas: placements.iter().map(|placement| placement.ready).sum(),
        selector: pod_selector(&model.name_any()),
        clusters: clusters.join(","),
        strategy: plan.strategy.clone(),
        rebalance: plan.rebalanced.clone(),
        rollout: decisions.rollout.status().cloned(),
        autoscaling: scaling(decisions),
        placements,
    }
}

/// A placement with what was seen in the member; `None` when nothing is wanted there and nothing is left.
fn observed(
    model: &ModelDeployment,
    placement: PlacementStatus,
    outcome: &Outcome,
    decisions: &Decisions,
    now: Timestamp,
) -> Option<PlacementStatus> {
    let in_force = placement.desired + placement.retained;
    let owed = placement.displaced.is_some();
    if in_force == 0 && !owed && outcome.deployment.is_none() && outcome.service.is_none() {
        return None;
    }
    let counts = outcome.deployment.as_ref().and_then(|deployment| deployment.status.as_ref());
    let why = match &outcome.error {
        Some(error) => error.clone(),
        None => placement.why.clone(),
    };
    let digest = match decisions.request.models.get(&placement.cluster) {
        Some(ModelState::Verified(verified)) => Some(verified.source.digest.clone()),
        _ => placement.model_digest.clone(),
    };
    // What cannot be read stops the change of the member, which says so.
    let revision = decisions.rollout.content(&placement.cluster).ok().flatten();
    let spec = spec_for(&model.spec, revision);
    let ready = counts.and_then(|counts| counts.ready_replicas).unwrap_or(0);
    Some(PlacementStatus {
        replicas: counts.and_then(|counts| counts.replicas).unwrap_or(0),
        ready,
        shortfall: shortfall(placement.shortfall.as_ref(), ready, in_force, false, now),
        endpoint: endpoint((model, &placement.cluster), &spec, outcome, in_force > 0),
        model_digest: digest,
        why,
        ..placement
    })
}

/// What stands for the Cluster's name in `spec.service.externalAddress`.
const OWN_NAME: &str = "$(CLUSTER)";

/// Where the Service is reached, as the spec says or as far as its type allows; `None` while the cloud has not given it an address.
/// `spec` is that of the cluster's own revision.
fn endpoint(
    (model, cluster): (&ModelDeployment, &str),
    spec: &ModelDeploymentSpec,
    outcome: &Outcome,
    wanted: bool,
) -> Option<String> {
    let service = outcome.service.as_ref();
    if let Some(address) = &spec.service.external_address {
        return service.map(|_| address.replace(OWN_NAME, cluster));
    }
    match spec.service.type_ {
        // Known before the Service is there: to wait for it would be one more write of the status.
        ServiceType::ClusterIP => {
            let there = service.is_some() || (wanted && outcome.error.is_none());
            let namespace = model.namespace().unwrap_or_default();
            let port = service.and_then(port).map_or_else(|| service_port(spec), |port| port.port);
            there.then(|| format!("{}.{namespace}.svc:{port}", model.name_any()))
        }
        ServiceType::NodePort => Some(format!("{}:{}", outcome.node_address.as_deref()?, port(service?)?.node_port?)),
        ServiceType::LoadBalancer => {
            let ingress = service?.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?.clone();
            Some(format!("{}:{}", ingress.hostname.or(ingress.ip)?, port(service?)?.port))
        }
    }
}

fn port(service: &Service) -> Option<&ServicePort> {
    service.spec.as_ref()?.ports.as_ref()?.first()
}

fn findings(
    decisions: &Decisions,
    outcomes: &BTreeMap<String, Outcome>,
    placements: &[PlacementStatus],
) -> Vec<Finding> {
    let (plan, request, wanted) = (&decisions.plan, &decisions.request, decisions.replicas);
    let refused: Vec<String> = outcomes
        .iter()
        .filter_map(|(cluster, outcome)| Some(format!("{cluster}: {}", outcome.error.as_ref()?)))
        .collect();
    if !refused.is_empty() {
        return Finding::reconciling(Reason::MemberRefused, refused.join("; "));
    }
    if plan.unplaced > 0 {
        return Finding::reconciling(Reason::NoEligibleCluster, no_eligible_cluster(plan));
    }
    let waiting: Vec<String> = plan
        .assignments
        .iter()
        .filter(|assignment| assignment.desired > 0)
        .filter_map(|assignment| match request.models.get(&assignment.cluster)? {
            ModelState::Waiting(what) => Some(format!("{}: {what}", assignment.cluster)),
            ModelState::Verified(_) => None,
        })
        .collect();
    if !waiting.is_empty() {
        return Finding::reconciling(Reason::WaitingForData, waiting.join("; "));
    }
    let unreachable = |placement: &&PlacementStatus| is_unreachable(plan, &placement.cluster);
    let lost: Vec<&str> = placements
        .iter()
        .filter(|placement| placement.desired > 0)
        .filter(unreachable)
        .map(|placement| placement.cluster.as_str())
        .collect();
    if !lost.is_empty() {
        return Finding::reconciling(Reason::MemberUnreachable, lost_members(&lost, plan));
    }
    if !plan.unmet.is_empty() {
        return Finding::reconciling(Reason::ConstraintUnmet, format!("spec.placement: {}", plan.unmet.join("; ")));
    }
    if let Some(unfinished) = decisions.rollout.status().and_then(rollout_findings) {
        return unfinished;
    }
    let ready: i32 = placements.iter().map(|placement| placement.ready).sum();
    let settled = placements.iter().filter(|placement| !unreachable(placement)).all(|placement| {
        let deployment = outcomes.get(&placement.cluster).and_then(|outcome| outcome.deployment.as_ref());
        placement.retained == 0 && is_rolled_out(placement, deployment)
    });
    if settled {
        let serving = placements.iter().filter(|placement| placement.desired > 0).count();
        let left = left_behind(placements.iter().filter(unreachable));
        return Finding::ready(format!("{ready} of {wanted} replicas are ready in {serving} clusters{left}"));
    }
    waiting_for_pods(ready, wanted)
}

fn waiting_for_pods(ready: i32, wanted: i32) -> Vec<Finding> {
    Finding::reconciling(Reason::WaitingForPods, format!("{ready} of {wanted} replicas are ready"))
}

/// What a rollout that is not complete says of the whole.
fn rollout_findings(rollout: &RolloutStatus) -> Option<Vec<Finding>> {
    let RolloutStatus { wave, waves, message, target_revision, .. } = rollout;
    let at = format!("revision {target_revision}, wave {wave} of {waves}: {message}");
    match rollout.phase {
        RolloutPhase::Complete => None,
        // The first revision of all has no waves: its pods are waited for as ever.
        RolloutPhase::Progressing if rollout.stable_revision.is_none() => None,
        // No cluster holds replicas, so nothing is under way: a model that was scaled to zero is as it should be.
        RolloutPhase::Progressing if *waves == 0 => None,
        RolloutPhase::Progressing => Some(Finding::reconciling(Reason::Progressing, at)),
        RolloutPhase::Paused if rollout.wave_started.is_some() => Some(Finding::reconciling(Reason::Suspended, at)),
        RolloutPhase::Paused | RolloutPhase::RolledBack => Some(Finding::stalled(Reason::RolloutFailed, at)),
    }
}

fn is_unreachable(plan: &Plan, cluster: &str) -> bool {
    let exclusion = plan.verdicts.get(cluster).and_then(Verdict::exclusion);
    matches!(exclusion, Some(Exclusion::Unreachable { .. } | Exclusion::Lost { .. }))
}

fn lost_members(lost: &[&str], plan: &Plan) -> String {
    let next = match &plan.suspicion {
        Some(suspicion) => suspicion.clone(),
        None => "its replicas are left as they are, and how they are is not known".to_owned(),
    };
    format!("{} cannot be reached: {next}", lost.join(", "))
}

/// What clusters that cannot be reached still hold although it was made elsewhere.
fn left_behind<'a>(unreachable: impl Iterator<Item = &'a PlacementStatus>) -> String {
    let held = |of: &PlacementStatus| (of.retained > 0).then(|| format!("{} in {}", of.retained, of.cluster));
    let held: Vec<String> = unreachable.filter_map(held).collect();
    if held.is_empty() {
        return String::new();
    }
    format!("; more may run where they cannot be seen and go on return: {}", held.join(", "))
}

fn no_eligible_cluster(plan: &Plan) -> String {
    let why: Vec<String> = plan
        .verdicts
        .iter()
        .filter_map(|(cluster, verdict)| Some(format!("{cluster}: {}", verdict.exclusion()?)))
        .take(EXPLAINED)
        .collect();
    let why = match (why.is_empty(), plan.verdicts.is_empty()) {
        (true, true) => "the fleet has no Cluster".to_owned(),
        (true, false) => "the bounds in spec.placement leave no place".to_owned(),
        (false, _) => why.join("; "),
    };
    format!("{} replicas have no place: {why}", plan.unplaced)
}

/// Whether a Deployment runs exactly what it shall, as `kubectl rollout status` judges.
pub(super) fn is_rolled_out(placement: &PlacementStatus, deployment: Option<&Deployment>) -> bool {
    let Some(deployment) = deployment else { return placement.desired == 0 && placement.replicas == 0 };
    let Some(status) = &deployment.status else { return false };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    wanted == placement.desired + placement.retained
        && status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted
        && status.ready_replicas.unwrap_or(0) == wanted
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
