//! Puts the question to the plan, and enters the answer in the books before anything else is decided.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::core::ParseExpressionError;
use kube::runtime::reflector::ObjectRef;
use skyfleet_api::{ModelDeployment, labels};
use skyfleet_plan::autoscaling;
use skyfleet_plan::capacity::Ledger;
use skyfleet_plan::failover::{Contact, ContactState};
use skyfleet_plan::load::{Load, Requests};
use skyfleet_plan::placement::{Candidate, Data, Plan, Snapshot as Question, place};
use skyfleet_plan::question::{Facts, candidate, contact, request, terms};

use super::dereference::{FleetCluster, Snapshot};
use super::validate::Request;
use crate::operator::books::key;
use crate::operator::context::Context;

/// What was asked, and what load made of the number of replicas.
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) scaling: Option<autoscaling::Answer>,
}

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
) -> Result<(Plan, Asked), ParseExpressionError> {
    let mut ledger = context.books.lock();
    let asked = ask(context, &mut ledger, model, snapshot, wanted, now)?;
    let plan = place(&asked.question)?;
    ledger.enter(&key(model), &wanted.shape, &plan.in_force());
    Ok((plan, asked))
}

/// What a decision now would depend on.
///
/// # Errors
/// The cluster selector is not one.
pub(super) fn ask(
    context: &Context,
    ledger: &mut Ledger,
    model: &ModelDeployment,
    snapshot: &Snapshot,
    wanted: &Request,
    now: Timestamp,
) -> Result<Asked, ParseExpressionError> {
    let candidates = snapshot.clusters.iter().map(|fleet| asked(ledger, model, fleet, wanted, now)).collect();
    let question = Question {
        request: request(model, model.spec.replicas),
        candidates,
        max_lost_share: context.max_lost_share,
        now,
    };
    let told = context.gateway_reports.requests(&model.namespace().unwrap_or_default(), &model.name_any());
    complete(model, question, &told)
}

/// Settles the number of replicas, and then what load placement goes by: the number goes by nothing that a gateway says.
fn complete(
    model: &ModelDeployment,
    mut question: Question,
    told: &BTreeMap<String, Requests>,
) -> Result<Asked, ParseExpressionError> {
    let scaling = scale(model, &question)?;
    if let Some(scaling) = &scaling {
        question.request.replicas = scaling.status.replicas;
    }
    question.complete_loads(told);
    Ok(Asked { question, scaling })
}

/// What load makes of the number of replicas, where the spec lets it.
fn scale(model: &ModelDeployment, question: &Question) -> Result<Option<autoscaling::Answer>, ParseExpressionError> {
    let Some(spec) = &model.spec.autoscaling else { return Ok(None) };
    let mut most = question.clone();
    most.request.replicas = spec.max_replicas;
    let placeable = spec.max_replicas - place(&most)?.unplaced;
    let loads: Vec<&Load> = question.candidates.iter().filter_map(|candidate| candidate.load.as_ref()).collect();
    let requested = model.annotations().get(labels::REQUESTED_AT).and_then(|text| text.parse().ok());
    Ok(Some(autoscaling::decide(&autoscaling::Question {
        spec,
        status: model.status.as_ref().and_then(|status| status.autoscaling.as_ref()),
        start: model.spec.replicas,
        ready: question.candidates.iter().map(|candidate| candidate.held.serving()).sum(),
        loads: &loads,
        placeable: Some(placeable),
        requested,
        now: question.now,
    })))
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
    let doubted = fleet.member.as_ref().is_some_and(|member| member.doubted());
    let facts = Facts {
        contact: Contact { doubted, ..contact(fleet.cluster.status.as_ref(), heard(fleet), now) },
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn model(more: &Value) -> ModelDeployment {
        let mut spec = json!({
            "model": {"name": "m", "image": {}}, "runtime": {"image": "i", "port": 80}, "replicas": 4,
            "placement": {"strategy": "LeastConnection"},
        });
        for (key, value) in more.as_object().expect("an object") {
            spec[key] = value.clone();
        }
        let metadata = json!({"name": "m", "namespace": "n"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a ModelDeployment")
    }

    /// One replica serves in each of two clusters, and neither tells its load.
    fn asked(model: &ModelDeployment) -> Asked {
        let candidate = |name: &str| {
            json!({
                "name": name, "provider": "aws", "region": "r", "room": {"replicas": 10, "preferred": 10},
                "contact": {"state": "answering", "since": "2026-01-01T00:00:00Z"},
                "held": {"desired": 1, "retained": 0, "ready": 1},
            })
        };
        let question = json!({
            "request": {}, "candidates": [candidate("a"), candidate("b")], "maxLostShare": 0.5,
            "now": "2026-01-09T00:00:00Z",
        });
        let mut question: Question = serde_json::from_value(question).expect("a question");
        question.request = request(model, model.spec.replicas);
        let told = [("a", 9.0), ("b", 1.0)]
            .map(|(cluster, in_flight)| (cluster.to_owned(), Requests { in_flight, first_byte: None }));
        complete(model, question, &told.into()).expect("the selector is one")
    }

    #[test]
    fn new_replicas_go_by_what_gateways_tell_where_the_strategy_goes_by_load() {
        let shares = |model: &ModelDeployment| {
            let plan = place(&asked(model).question).expect("the selector is one");
            ["a", "b"].map(|cluster| plan.assignment(cluster).map_or(0, |assignment| assignment.desired))
        };
        assert_eq!(shares(&model(&json!({}))), [1, 3]);
        assert_eq!(shares(&model(&json!({"placement": {"strategy": "RoundRobin"}}))), [2, 2]);
    }

    #[test]
    fn the_number_of_replicas_goes_by_nothing_that_gateways_tell() {
        let autoscaling = json!({"minReplicas": 1, "maxReplicas": 9, "targetInFlight": 1});
        let asked = asked(&model(&json!({"autoscaling": autoscaling})));
        let in_flight: Vec<_> = asked.question.candidates.iter().map(|of| of.load.as_ref()?.in_flight).collect();
        assert_eq!(in_flight, [Some(9.0), Some(1.0)], "placement does");
        assert!(asked.scaling.is_some_and(|scaling| scaling.status.replicas <= 4), "ten requests would ask for nine");
    }
}
