//! Says what runs where, and why.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use skyfleet_api::conditions::{Finding, Reason, conditions};
use skyfleet_api::model_deployment::{PlacementStatus, ServiceType};
use skyfleet_api::{ModelDeployment, ModelDeploymentStatus};
use skyfleet_plan::placement::{Assignment, Exclusion, Plan};
use skyfleet_plan::workload::pod_selector;

use super::apply::Outcome;
use super::validate::{ModelState, Request};

/// What was decided before: replicas by cluster.
pub(super) fn reserved(model: &ModelDeployment) -> BTreeMap<String, i32> {
    let placements = model.status.as_ref().map(|status| status.placements.as_slice()).unwrap_or_default();
    placements.iter().map(|placement| (placement.cluster.clone(), placement.desired)).collect()
}

/// The status with what is decided now, to be written before anything is changed; `None` when it says so already.
pub(super) fn reserve(model: &ModelDeployment, plan: &Plan, request: &Request) -> Option<ModelDeploymentStatus> {
    let earlier = model.status.clone().unwrap_or_default();
    let placements = reservations(&earlier, plan, request);
    let desired = |placements: &[PlacementStatus]| -> BTreeMap<String, i32> {
        placements.iter().map(|placement| (placement.cluster.clone(), placement.desired)).collect()
    };
    let changed = desired(&placements) != desired(&earlier.placements);
    changed.then(|| ModelDeploymentStatus { placements, selector: pod_selector(&model.name_any()), ..earlier })
}

/// What is decided for each cluster, by name, with what was last seen there.
fn reservations(earlier: &ModelDeploymentStatus, plan: &Plan, request: &Request) -> Vec<PlacementStatus> {
    let mut placements: Vec<PlacementStatus> =
        plan.assignments.iter().map(|assignment| reservation(earlier, assignment, request)).collect();
    // What a cluster still holds of an earlier decision stays in sight until it is seen to be gone.
    placements.extend(
        earlier
            .placements
            .iter()
            .filter(|placement| assigned(plan, &placement.cluster).is_none())
            .map(|placement| PlacementStatus { desired: 0, ..placement.clone() }),
    );
    placements.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    placements
}

fn assigned<'a>(plan: &'a Plan, cluster: &str) -> Option<&'a Assignment> {
    plan.assignments.iter().find(|assignment| assignment.cluster == cluster)
}

fn reservation(earlier: &ModelDeploymentStatus, assignment: &Assignment, request: &Request) -> PlacementStatus {
    let before = earlier.placements.iter().find(|placement| placement.cluster == assignment.cluster).cloned();
    let why = match request.models.get(&assignment.cluster) {
        Some(ModelState::Waiting(what)) if assignment.replicas > 0 => format!("{}; {what}", assignment.why),
        _ => assignment.why.clone(),
    };
    PlacementStatus {
        cluster: assignment.cluster.clone(),
        desired: assignment.replicas,
        why,
        ..before.unwrap_or_default()
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
    plan: &Plan,
    request: &Request,
    outcomes: &BTreeMap<String, Outcome>,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let earlier = model.status.clone().unwrap_or_default();
    let seen = |placement: PlacementStatus| match outcomes.get(&placement.cluster) {
        Some(outcome) => observed(model, placement, outcome, request),
        // Not asked: what was last seen is the best that is known.
        None => Some(placement),
    };
    let placements: Vec<PlacementStatus> = reservations(&earlier, plan, request).into_iter().filter_map(seen).collect();
    let holding = placements.iter().filter(|placement| placement.desired > 0 || placement.replicas > 0);
    let clusters: Vec<&str> = holding.map(|placement| placement.cluster.as_str()).collect();
    let generation = model.metadata.generation;
    let findings = findings(model, plan, request, outcomes, &placements);
    ModelDeploymentStatus {
        observed_generation: generation,
        conditions: conditions(&earlier.conditions, &findings, generation, now),
        replicas: placements.iter().map(|placement| placement.replicas).sum(),
        ready_replicas: placements.iter().map(|placement| placement.ready).sum(),
        selector: pod_selector(&model.name_any()),
        clusters: clusters.join(","),
        placements,
        ..earlier
    }
}

/// A placement with what was seen in the member; `None` when nothing is wanted there and nothing is left.
fn observed(
    model: &ModelDeployment,
    placement: PlacementStatus,
    outcome: &Outcome,
    request: &Request,
) -> Option<PlacementStatus> {
    if placement.desired == 0 && outcome.deployment.is_none() && outcome.service.is_none() {
        return None;
    }
    let counts = outcome.deployment.as_ref().and_then(|deployment| deployment.status.as_ref());
    let why = match &outcome.error {
        Some(error) => error.clone(),
        None => placement.why.clone(),
    };
    let digest = match request.models.get(&placement.cluster) {
        Some(ModelState::Verified(verified)) => Some(verified.source.digest.clone()),
        _ => placement.model_digest.clone(),
    };
    Some(PlacementStatus {
        replicas: counts.and_then(|counts| counts.replicas).unwrap_or(0),
        ready: counts.and_then(|counts| counts.ready_replicas).unwrap_or(0),
        endpoint: endpoint(model, outcome),
        model_digest: digest,
        why,
        ..placement
    })
}

/// Where the Service is reached, as far as its type allows; `None` while the cloud has not given it an address.
fn endpoint(model: &ModelDeployment, outcome: &Outcome) -> Option<String> {
    let service = outcome.service.as_ref()?;
    let port = service.spec.as_ref()?.ports.as_ref()?.first()?;
    match model.spec.service.type_ {
        ServiceType::ClusterIP => {
            Some(format!("{}.{}.svc:{}", service.name_any(), service.namespace().unwrap_or_default(), port.port))
        }
        ServiceType::NodePort => Some(format!("{}:{}", outcome.node_address.as_deref()?, port.node_port?)),
        ServiceType::LoadBalancer => {
            let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?.first()?.clone();
            Some(format!("{}:{}", ingress.hostname.or(ingress.ip)?, port.port))
        }
    }
}

fn findings(
    model: &ModelDeployment,
    plan: &Plan,
    request: &Request,
    outcomes: &BTreeMap<String, Outcome>,
    placements: &[PlacementStatus],
) -> Vec<Finding> {
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
        .filter(|assignment| assignment.replicas > 0)
        .filter_map(|assignment| match request.models.get(&assignment.cluster)? {
            ModelState::Waiting(what) => Some(format!("{}: {what}", assignment.cluster)),
            ModelState::Verified(_) => None,
        })
        .collect();
    if !waiting.is_empty() {
        return Finding::reconciling(Reason::WaitingForData, waiting.join("; "));
    }
    let lost: Vec<&str> = placements
        .iter()
        .filter(|placement| plan.exclusions.get(&placement.cluster) == Some(&Exclusion::Unreachable))
        .map(|placement| placement.cluster.as_str())
        .collect();
    if !lost.is_empty() {
        let message = format!(
            "{} cannot be reached: its replicas are left as they are, and how they are is not known",
            lost.join(", ")
        );
        return Finding::reconciling(Reason::MemberUnreachable, message);
    }
    let ready: i32 = placements.iter().map(|placement| placement.ready).sum();
    let settled = placements.iter().all(|placement| {
        let deployment = outcomes.get(&placement.cluster).and_then(|outcome| outcome.deployment.as_ref());
        is_rolled_out(placement, deployment)
    });
    let wanted = model.spec.replicas;
    if settled {
        return Finding::ready(format!("{ready} of {wanted} replicas are ready in {} clusters", placements.len()));
    }
    Finding::reconciling(Reason::WaitingForPods, format!("{ready} of {wanted} replicas are ready"))
}

fn no_eligible_cluster(plan: &Plan) -> String {
    let why: Vec<String> =
        plan.exclusions.iter().map(|(cluster, exclusion)| format!("{cluster}: {exclusion}")).collect();
    let why = if why.is_empty() { "the fleet has no Cluster".to_owned() } else { why.join("; ") };
    format!("{} replicas have no place: {why}", plan.unplaced)
}

/// Whether a Deployment runs exactly what it shall, as `kubectl rollout status` judges.
fn is_rolled_out(placement: &PlacementStatus, deployment: Option<&Deployment>) -> bool {
    let Some(deployment) = deployment else { return placement.desired == 0 && placement.replicas == 0 };
    let Some(status) = &deployment.status else { return false };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    wanted == placement.desired
        && status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted
        && status.ready_replicas.unwrap_or(0) == wanted
}
