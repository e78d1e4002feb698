//! Puts the question to the plan, and enters the answer in the books before anything else is decided.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::core::ParseExpressionError;
use kube::runtime::reflector::ObjectRef;
use skyfleet_api::ModelDeployment;
use skyfleet_plan::capacity::Ledger;
use skyfleet_plan::failover::ContactState;
use skyfleet_plan::placement::{Candidate, Data, Plan, Snapshot as Question, place};
use skyfleet_plan::question::{Facts, candidate, contact, request, terms};

use super::dereference::{FleetCluster, Snapshot};
use super::validate::Request;
use crate::operator::books::key;
use crate::operator::context::Context;

/// Decides, and enters the decision.
///
/// # Errors
/// The cluster selector is not one.
pub(super) fn decide(
    context: &Context,
    model: &ModelDeployment,
    snapshot: &Snapshot,
    wanted: &Request,
    now: Timestamp,
) -> Result<Plan, ParseExpressionError> {
    let mut ledger = context.books.lock();
    let question = question(context, &mut ledger, model, snapshot, wanted, now);
    let plan = place(&question)?;
    ledger.enter(&key(model), &wanted.shape, &plan.in_force());
    Ok(plan)
}

/// What a decision now would depend on.
pub(super) fn question(
    context: &Context,
    ledger: &mut Ledger,
    model: &ModelDeployment,
    snapshot: &Snapshot,
    wanted: &Request,
    now: Timestamp,
) -> Question {
    let candidates = snapshot.clusters.iter().map(|fleet| asked(ledger, model, fleet, wanted, now)).collect();
    Question { request: request(model, wanted.replicas), candidates, max_lost_share: context.max_lost_share, now }
}

fn asked(
    ledger: &mut Ledger,
    model: &ModelDeployment,
    fleet: &FleetCluster,
    wanted: &Request,
    now: Timestamp,
) -> Candidate {
    let name = fleet.cluster.name_any();
    let capacity = fleet.member.as_ref().and_then(|member| member.capacity());
    ledger.count(&name, capacity, terms(&fleet.cluster.spec));
    let facts = Facts {
        contact: contact(fleet.cluster.status.as_ref(), heard(fleet), now),
        data: wanted.data.get(&name).cloned().unwrap_or(Data::NotNeeded),
        room: ledger.room(&name, &wanted.shape),
        load: fleet.load(model),
        ready: ready(model, fleet),
    };
    candidate(&fleet.cluster, model, &wanted.shape.requests, facts)
}

/// Whether a cluster is heard. One whose credentials are refused is not silent: nothing suggests that its pods are gone.
fn heard(fleet: &FleetCluster) -> ContactState {
    match fleet.member.as_ref() {
        Some(member) if member.usable() => ContactState::Answering,
        Some(member) if member.report().reachable == Some(false) => ContactState::Silent,
        _ => ContactState::Refusing,
    }
}

/// Replicas that are ready, where that can be seen now.
fn ready(model: &ModelDeployment, fleet: &FleetCluster) -> Option<i32> {
    let member = fleet.member.as_ref().filter(|member| member.usable())?;
    let reference = ObjectRef::<Deployment>::new(&model.name_any()).within(&model.namespace().unwrap_or_default());
    let deployment = member.objects.deployments.get(&reference);
    Some(deployment.and_then(|found| found.status.as_ref()?.ready_replicas).unwrap_or(0))
}
