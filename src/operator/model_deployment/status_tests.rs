use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use skyfleet_api::conditions::{ConditionType, find};
use skyfleet_api::model_deployment::ShortfallCause;
use skyfleet_plan::capacity::PodShape;
use skyfleet_plan::rollout::Answer;

use super::*;
use crate::operator::model_deployment::rollout::Rollout;
use crate::operator::model_deployment::validate::Request;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a small number of seconds")
}

fn model(placements: &Value) -> ModelDeployment {
    serde_json::from_value(json!({
        "apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": "m", "namespace": "default", "generation": 3},
        "spec": {"model": {"name": "m", "image": {}}, "runtime": {"image": "i", "port": 80}, "replicas": 4},
        "status": {"placements": placements},
    }))
    .expect("a ModelDeployment")
}

/// A plan: cluster, desired, retained, and why it takes no more.
fn decided(shares: &[(&str, i32, i32, Option<Exclusion>)]) -> Decisions {
    let mut plan = Plan { strategy: "RoundRobin".to_owned(), ..Plan::default() };
    for (cluster, desired, retained, exclusion) in shares {
        plan.assignments.push(Assignment {
            cluster: (*cluster).to_owned(),
            desired: *desired,
            retained: *retained,
            displaced: None,
            why: String::new(),
        });
        let verdict = exclusion.clone().map_or(Verdict::Eligible, Verdict::Keeps);
        plan.verdicts.insert((*cluster).to_owned(), verdict);
    }
    let request = Request { shape: Arc::new(PodShape::default()), data: BTreeMap::new(), models: BTreeMap::new() };
    Decisions { replicas: 4, plan, scaling: None, request, rollout: Rollout::default() }
}

/// A member whose Deployment runs so many, all of them ready.
fn runs(replicas: i32) -> Outcome {
    let deployment = json!({
        "metadata": {"name": "m", "generation": 1}, "spec": {"replicas": replicas, "selector": {}, "template": {}},
        "status": {"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas},
    });
    Outcome { deployment: Some(serde_json::from_value(deployment).expect("a Deployment")), ..Outcome::default() }
}

fn outcomes(of: Vec<(&str, Outcome)>) -> BTreeMap<String, Outcome> {
    of.into_iter().map(|(cluster, outcome)| (cluster.to_owned(), outcome)).collect()
}

fn ready(status: &ModelDeploymentStatus) -> (String, String, String) {
    let ready = find(&status.conditions, ConditionType::Ready).expect("every status has it").clone();
    (ready.status, ready.reason, ready.message)
}

const LOST: Exclusion = Exclusion::Lost { since: Timestamp::UNIX_EPOCH };

#[test]
fn what_runs_elsewhere_by_now_leaves_nothing_to_wait_for_in_a_lost_cluster() {
    let model = model(&json!([{"cluster": "b", "desired": 0, "retained": 2, "replicas": 2, "ready": 2}]));
    let decisions = decided(&[("a", 4, 0, None), ("b", 0, 2, Some(LOST))]);
    let found = status(&model, &decisions, &outcomes(vec![("a", runs(4))]), at(10));
    let (status, reason, message) = ready(&found);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "AsSpecified"), "{message}");
    assert!(message.ends_with("more may run where they cannot be seen and go on return: 2 in b"), "{message}");
    assert_eq!(found.clusters, "a,b");
}

#[test]
fn a_lost_cluster_that_is_still_counted_on_is_named_with_what_the_hub_makes_of_it() {
    let since = Exclusion::Unreachable { since: at(0), until: None };
    let mut decisions = decided(&[("a", 2, 0, None), ("b", 2, 0, Some(since))]);
    decisions.plan.suspicion = Some("3 of 4 clusters fell silent together".to_owned());
    let found = status(&model(&json!([])), &decisions, &outcomes(vec![("a", runs(2))]), at(10));
    let (status, reason, message) = ready(&found);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "MemberUnreachable"));
    assert_eq!(message, "b cannot be reached: 3 of 4 clusters fell silent together");
}

#[test]
fn replicas_that_are_kept_for_now_are_not_the_end_of_it() {
    let decisions = decided(&[("a", 4, 0, None), ("b", 0, 2, None)]);
    let found = status(&model(&json!([])), &decisions, &outcomes(vec![("a", runs(4)), ("b", runs(2))]), at(10));
    assert_eq!(ready(&found).1, "WaitingForPods");
}

#[test]
fn a_wish_that_cannot_be_met_is_said_although_all_serve() {
    let mut decisions = decided(&[("a", 4, 0, None)]);
    decisions.plan.unmet.push("replicas are in 1 clusters, of at least 2".to_owned());
    let found = status(&model(&json!([])), &decisions, &outcomes(vec![("a", runs(4))]), at(10));
    let (_, reason, message) = ready(&found);
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("ConstraintUnmet", "spec.placement: replicas are in 1 clusters, of at least 2")
    );
}

#[test]
fn a_rollout_that_went_back_needs_a_person() {
    let mut decisions = decided(&[("a", 4, 0, None)]);
    let status_of = json!({
        "phase": "RolledBack", "stableRevision": "one", "targetRevision": "two", "wave": 1, "waves": 2, "message": "late",
    });
    decisions.rollout.answer = Some(Answer {
        status: serde_json::from_value(status_of).expect("a status"),
        revisions: BTreeMap::new(),
        look_again: None,
        news: None,
    });
    let found = status(&model(&json!([])), &decisions, &outcomes(vec![("a", runs(4))]), at(10));
    assert_eq!(ready(&found).1, "RolloutFailed");
    assert!(find(&found.conditions, ConditionType::Stalled).is_some());
}

#[test]
fn a_reservation_is_written_when_a_decision_changed_and_only_then() {
    let decisions = decided(&[("a", 4, 0, None)]);
    let model = model(&json!([]));
    let all_well = reserve(&model, &decisions, &outcomes(vec![("a", runs(4))]), at(10)).expect("a new decision");
    assert_eq!(ready(&all_well).1, "WaitingForPods", "the four that run may be of an earlier decision");
    let seen = outcomes(vec![("a", runs(0))]);
    let reserved = reserve(&model, &decisions, &seen, at(10)).expect("a new decision");
    let shortfall = reserved.placements[0].shortfall.clone().expect("four were asked for");
    assert_eq!((shortfall.cause, shortfall.since.0), (ShortfallCause::Starting, at(10)));
    let mut written = model;
    written.status = Some(reserved);
    assert_eq!(reserve(&written, &decisions, &seen, at(99)), None);
    assert!(reserve(&written, &decided(&[("a", 3, 1, None)]), &seen, at(99)).is_some());
}

#[test]
fn a_cluster_that_has_left_the_fleet_leaves_the_status_too() {
    let model = model(&json!([{"cluster": "gone", "desired": 2, "replicas": 2, "ready": 2}]));
    let found = status(&model, &decided(&[("a", 4, 0, None)]), &outcomes(vec![("a", runs(4))]), at(10));
    assert_eq!(found.placements.iter().map(|placement| placement.cluster.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(ready(&found).0, "True");
}

#[test]
fn an_endpoint_is_known_before_its_service_and_then_is_that_of_the_service() {
    let model = model(&json!([]));
    let of = |outcome: &Outcome, wanted| endpoint((&model, "a"), &model.spec, outcome, wanted);
    assert_eq!(of(&Outcome::default(), true).as_deref(), Some("m.default.svc:80"));
    assert_eq!(of(&Outcome::default(), false), None);
    let refused = Outcome { error: Some("foreign".to_owned()), ..Outcome::default() };
    assert_eq!(of(&refused, true), None, "somebody else's Service has that name");
    let older = serde_json::from_value(json!({"metadata": {"name": "m"}, "spec": {"ports": [{"port": 81}]}}));
    let outcome = Outcome { service: Some(older.expect("a Service")), ..Outcome::default() };
    assert_eq!(of(&outcome, true).as_deref(), Some("m.default.svc:81"), "its cluster is at an older revision");
    let mut spec = model.spec.clone();
    spec.service.external_address = Some("$(CLUSTER).models.example.com:443".to_owned());
    let of = |outcome: &Outcome| endpoint((&model, "aws-1"), &spec, outcome, true);
    assert_eq!(of(&outcome).as_deref(), Some("aws-1.models.example.com:443"), "somebody leads from there to it");
    assert_eq!(of(&Outcome::default()), None, "and not before it is there");
}
