use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use proptest::prelude::*;
use skyfleet_api::cluster::{Taint, TaintEffect};
use skyfleet_api::model_deployment::{Placement, Toleration, TolerationOperator};

use super::{Candidate, Data, Exclusion, Plan, Request, place};

fn cluster(name: &str) -> Candidate {
    Candidate { name: name.to_owned(), reachable: true, ..Candidate::default() }
}

fn fleet() -> Vec<Candidate> {
    ["aws-1", "azure-1", "gcp-1"].map(cluster).to_vec()
}

fn request(replicas: i32) -> Request {
    Request { replicas, placement: Placement::default() }
}

fn held(shares: &[(&str, i32)]) -> BTreeMap<String, i32> {
    shares.iter().map(|(cluster, replicas)| ((*cluster).to_owned(), *replicas)).collect()
}

fn shares(plan: &Plan) -> Vec<(&str, i32)> {
    plan.assignments.iter().map(|assignment| (assignment.cluster.as_str(), assignment.replicas)).collect()
}

fn plan(request: &Request, candidates: &[Candidate], current: &[(&str, i32)]) -> Plan {
    place(request, candidates, &held(current)).expect("the selector is one")
}

#[test]
fn replicas_are_shared_out_in_turn() {
    for (replicas, wanted) in [
        (6, vec![("aws-1", 2), ("azure-1", 2), ("gcp-1", 2)]),
        (7, vec![("aws-1", 3), ("azure-1", 2), ("gcp-1", 2)]),
        (2, vec![("aws-1", 1), ("azure-1", 1)]),
        (0, vec![]),
    ] {
        assert_eq!(shares(&plan(&request(replicas), &fleet(), &[])), wanted, "{replicas} replicas");
    }
}

#[test]
fn more_replicas_only_add_and_fewer_only_remove() {
    let six = [("aws-1", 2), ("azure-1", 2), ("gcp-1", 2)];
    assert_eq!(shares(&plan(&request(8), &fleet(), &six)), [("aws-1", 3), ("azure-1", 3), ("gcp-1", 2)]);
    assert_eq!(shares(&plan(&request(4), &fleet(), &six)), [("aws-1", 2), ("azure-1", 1), ("gcp-1", 1)]);
    assert_eq!(shares(&plan(&request(0), &fleet(), &six)), [("aws-1", 0), ("azure-1", 0), ("gcp-1", 0)]);
}

#[test]
fn a_new_cluster_moves_nothing() {
    let mut fleet = fleet();
    fleet.push(cluster("on-prem"));
    let six = [("aws-1", 2), ("azure-1", 2), ("gcp-1", 2)];
    assert_eq!(shares(&plan(&request(6), &fleet, &six)), six);
    assert_eq!(plan(&request(7), &fleet, &six).assignments[3].cluster, "on-prem");
}

#[test]
fn what_an_unreachable_cluster_holds_is_counted_and_left() {
    let mut fleet = fleet();
    fleet[1].reachable = false;
    let six = [("aws-1", 2), ("azure-1", 2), ("gcp-1", 2)];
    let same = plan(&request(6), &fleet, &six);
    assert_eq!(shares(&same), six);
    assert_eq!(same.exclusions["azure-1"], Exclusion::Unreachable);
    assert_eq!(shares(&plan(&request(9), &fleet, &six)), [("aws-1", 4), ("azure-1", 2), ("gcp-1", 3)]);
    // Fewer replicas come off the reachable clusters first, where it takes effect.
    assert_eq!(shares(&plan(&request(3), &fleet, &six)), [("aws-1", 1), ("azure-1", 2), ("gcp-1", 0)]);
    // An unreachable cluster that is also leaving still holds what it holds.
    fleet[1].leaving = true;
    assert_eq!(shares(&plan(&request(6), &fleet, &six)), six);
}

#[test]
fn a_cluster_no_longer_selected_or_leaving_gives_up_its_replicas() {
    let mut fleet = fleet();
    fleet[0].labels.insert("tier".to_owned(), "gold".to_owned());
    fleet[2].labels.insert("tier".to_owned(), "gold".to_owned());
    let mut gold = request(6);
    gold.placement.cluster_selector = Some(LabelSelector {
        match_labels: Some([("tier".to_owned(), "gold".to_owned())].into()),
        match_expressions: None,
    });
    let six = [("aws-1", 2), ("azure-1", 2), ("gcp-1", 2)];
    let moved = plan(&gold, &fleet, &six);
    assert_eq!(shares(&moved), [("aws-1", 3), ("azure-1", 0), ("gcp-1", 3)]);
    assert_eq!(moved.exclusions["azure-1"], Exclusion::NotSelected);
    fleet[2].leaving = true;
    assert_eq!(shares(&plan(&gold, &fleet, &six)), [("aws-1", 6), ("azure-1", 0), ("gcp-1", 0)]);
}

#[test]
fn taints_keep_new_replicas_away_unless_tolerated() {
    let taint = Taint { key: "maintenance".to_owned(), value: "true".to_owned(), effect: TaintEffect::NoSchedule };
    let mut fleet = fleet();
    fleet[0].taints = vec![taint.clone()];
    assert_eq!(shares(&plan(&request(2), &fleet, &[])), [("azure-1", 1), ("gcp-1", 1)]);
    assert_eq!(shares(&plan(&request(2), &fleet, &[("aws-1", 2)])), [("aws-1", 2)]);
    for (toleration, tolerated) in [
        (toleration(Some("maintenance"), TolerationOperator::Equal, Some("true"), None), true),
        (toleration(Some("maintenance"), TolerationOperator::Equal, Some("false"), None), false),
        (toleration(Some("maintenance"), TolerationOperator::Exists, None, Some(TaintEffect::NoSchedule)), true),
        (toleration(Some("maintenance"), TolerationOperator::Exists, None, Some(TaintEffect::NoExecute)), false),
        (toleration(None, TolerationOperator::Exists, None, None), true),
        (toleration(Some("other"), TolerationOperator::Exists, None, None), false),
    ] {
        let mut request = request(1);
        request.placement.tolerations = vec![toleration.clone()];
        let plan = plan(&request, &fleet, &[]);
        assert_eq!(plan.exclusions.contains_key("aws-1"), !tolerated, "{toleration:?}");
    }
}

fn toleration(
    key: Option<&str>,
    operator: TolerationOperator,
    value: Option<&str>,
    effect: Option<TaintEffect>,
) -> Toleration {
    Toleration { key: key.map(str::to_owned), operator, value: value.map(str::to_owned), effect }
}

#[test]
fn without_an_eligible_cluster_replicas_stay_unplaced_and_each_cluster_says_why() {
    let mut fleet = fleet();
    for candidate in &mut fleet {
        candidate.data = Data::NoBucketNear;
    }
    let plan = plan(&request(6), &fleet, &[]);
    assert_eq!((plan.unplaced, plan.assignments.len()), (6, 0));
    assert!(plan.exclusions.values().all(|exclusion| *exclusion == Exclusion::NoBucketNear));
}

fn any_candidate() -> impl Strategy<Value = (bool, bool, bool, i32)> {
    (prop::bool::weighted(0.8), prop::bool::weighted(0.1), prop::bool::weighted(0.8), 0..20)
}

proptest! {
    #[test]
    fn any_fleet(replicas in 0..200, shape in prop::collection::vec(any_candidate(), 0..12)) {
        let candidates: Vec<Candidate> = shape.iter().enumerate().map(|(index, (reachable, leaving, near, _))| Candidate {
            name: format!("cluster-{index:02}"),
            reachable: *reachable,
            leaving: *leaving,
            data: if *near { Data::Near } else { Data::NoBucketNear },
            ..Candidate::default()
        }).collect();
        let current: BTreeMap<String, i32> =
            candidates.iter().zip(&shape).map(|(candidate, shape)| (candidate.name.clone(), shape.3)).collect();
        let plan = place(&request(replicas), &candidates, &current).expect("there is no selector");
        let reversed: Vec<Candidate> = candidates.iter().rev().cloned().collect();
        prop_assert_eq!(&place(&request(replicas), &reversed, &current).expect("there is no selector"), &plan);

        let total: i32 = plan.assignments.iter().map(|assignment| assignment.replicas).sum();
        prop_assert_eq!(total + plan.unplaced, replicas);
        prop_assert!(plan.unplaced >= 0);
        let eligible = |candidate: &&Candidate| candidate.reachable && !candidate.leaving && candidate.data != Data::NoBucketNear;
        prop_assert!(plan.unplaced == 0 || !candidates.iter().any(|candidate| eligible(&candidate)));
        for assignment in &plan.assignments {
            let candidate = candidates.iter().find(|candidate| candidate.name == assignment.cluster).expect("a candidate");
            let before = current[&assignment.cluster];
            prop_assert!(assignment.replicas >= 0);
            prop_assert!(eligible(&candidate) || assignment.replicas <= before, "an excluded cluster took more");
            if !candidate.reachable && candidates.iter().any(|other| other.reachable && plan_of(&plan, &other.name) > 0) {
                prop_assert_eq!(assignment.replicas, before, "silence alone took replicas");
            }
        }
        // A plan is settled: planning again from its result changes nothing.
        let after: BTreeMap<String, i32> =
            plan.assignments.iter().map(|assignment| (assignment.cluster.clone(), assignment.replicas)).collect();
        let again = place(&request(replicas), &candidates, &after).expect("there is no selector");
        for assignment in &again.assignments {
            prop_assert_eq!(assignment.replicas, after[&assignment.cluster]);
        }
    }
}

fn plan_of(plan: &Plan, cluster: &str) -> i32 {
    plan.assignments.iter().find(|assignment| assignment.cluster == cluster).map_or(0, |assignment| assignment.replicas)
}
