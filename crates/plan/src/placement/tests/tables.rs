use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;
use skyfleet_api::cluster::{Provider, Taint, TaintEffect};
use skyfleet_api::model_deployment::{Gang, Placement, Residency, Toleration, TolerationOperator};

use super::*;
use crate::capacity::Shortage;
use crate::placement::{Exclusion, Verdict};

fn placement(value: serde_json::Value) -> Placement {
    serde_json::from_value(value).expect("a placement")
}

const SIX: [(&str, i32); 3] = [("aws-1", 2), ("azure-1", 2), ("gcp-1", 2)];

#[test]
fn replicas_are_shared_out_in_turn() {
    for (replicas, wanted) in [
        (6, vec![("aws-1", 2), ("azure-1", 2), ("gcp-1", 2)]),
        (7, vec![("aws-1", 3), ("azure-1", 2), ("gcp-1", 2)]),
        (2, vec![("aws-1", 1), ("azure-1", 1)]),
        (0, vec![]),
    ] {
        assert_eq!(shares(&plan(&snapshot(replicas, fleet()))), wanted, "{replicas} replicas");
    }
}

#[test]
fn more_replicas_only_add_and_fewer_only_remove() {
    for (replicas, wanted) in [
        (8, [("aws-1", 3), ("azure-1", 3), ("gcp-1", 2)]),
        (4, [("aws-1", 2), ("azure-1", 1), ("gcp-1", 1)]),
        (0, [("aws-1", 0), ("azure-1", 0), ("gcp-1", 0)]),
    ] {
        let plan = plan(&holding(replicas, fleet(), &SIX));
        assert_eq!(shares(&plan), wanted);
        assert!(plan.assignments.iter().all(|assignment| assignment.retained == 0), "fewer are wanted: they go now");
    }
}

#[test]
fn a_new_cluster_moves_nothing() {
    let mut fleet = fleet();
    fleet.push(cluster("on-prem"));
    assert_eq!(shares(&plan(&holding(6, fleet.clone(), &SIX))), SIX);
    assert_eq!(plan(&holding(7, fleet, &SIX)).assignments[3].cluster, "on-prem");
}

#[test]
fn no_cluster_gets_more_than_it_has_room_for_and_the_rest_is_said_to_have_no_place() {
    let mut fleet = fleet();
    for (index, room) in [1, 0, 2].into_iter().enumerate() {
        let shortage = Some(Shortage::Resource { resource: "nvidia.com/gpu".to_owned(), needed: 4, most_free: 3 });
        fleet[index].room = Room { replicas: room, preferred: room, shortage: shortage.filter(|_| room == 0) };
    }
    let plan = plan(&snapshot(6, fleet));
    assert_eq!((shares(&plan), plan.unplaced), (vec![("aws-1", 1), ("gcp-1", 2)], 3));
    let why = plan.verdicts["azure-1"].exclusion().expect("it is full").to_string();
    assert_eq!(why, "a replica needs 4 nvidia.com/gpu on one node, and the most that one has left is 3");
    assert!(plan.look_again.is_some(), "room may be found later");
}

type Change<'a> = &'a dyn Fn(&mut Vec<Candidate>);

#[test]
fn a_cluster_that_may_not_hold_replicas_gives_them_up_once_others_serve() {
    let gold = |fleet: &mut Vec<Candidate>| {
        for name in ["aws-1", "gcp-1"] {
            named(fleet, name).labels.insert("tier".to_owned(), "gold".to_owned());
        }
    };
    let selector =
        LabelSelector { match_labels: Some([("tier".to_owned(), "gold".to_owned())].into()), ..Default::default() };
    let residency = Residency { providers: vec![Provider::Aws, Provider::Gcp], regions: vec![] };
    let no_execute = |fleet: &mut Vec<Candidate>| {
        let taint = Taint { key: "drain".to_owned(), value: String::new(), effect: TaintEffect::NoExecute };
        named(fleet, "azure-1").taints = vec![taint];
    };
    let nothing = |_: &mut Vec<Candidate>| {};
    let cases: [(Placement, Change<'_>); 4] = [
        (Placement { cluster_selector: Some(selector), ..Placement::default() }, &gold),
        (Placement { residency: Some(residency), ..Placement::default() }, &nothing),
        (
            placement(json!({"clusterFields": [{"field": "region", "operator": "NotIn", "values": ["azure-region"]}]})),
            &nothing,
        ),
        (Placement::default(), &no_execute),
    ];
    for (placement, change) in cases {
        let mut fleet = fleet();
        change(&mut fleet);
        let mut snapshot = holding(6, fleet, &SIX);
        snapshot.request.placement = placement;
        let first = plan(&snapshot);
        assert_eq!(both(&first), [("aws-1", 3, 0), ("azure-1", 0, 2), ("gcp-1", 3, 0)], "{:?}", first.verdicts);
        assert!(matches!(first.verdicts["azure-1"], Verdict::GivesUp(_)));
        // One of the two new ones serves: one of the old ones goes.
        for (name, desired, retained, ready) in [("aws-1", 3, 0, 3), ("azure-1", 0, 2, 2), ("gcp-1", 3, 0, 2)] {
            named(&mut snapshot.candidates, name).held = Held { desired, retained, ready, ..Held::default() };
        }
        assert_eq!(both(&plan(&snapshot)), [("aws-1", 3, 0), ("azure-1", 0, 1), ("gcp-1", 3, 0)]);
        named(&mut snapshot.candidates, "gcp-1").held.ready = 3;
        assert_eq!(both(&plan(&snapshot)), [("aws-1", 3, 0), ("azure-1", 0, 0), ("gcp-1", 3, 0)]);
    }
}

#[test]
fn taints_keep_new_replicas_away_unless_tolerated() {
    let taint = Taint { key: "maintenance".to_owned(), value: "true".to_owned(), effect: TaintEffect::NoSchedule };
    let mut fleet = fleet();
    fleet[0].taints = vec![taint.clone()];
    assert_eq!(shares(&plan(&snapshot(2, fleet.clone()))), [("azure-1", 1), ("gcp-1", 1)]);
    assert_eq!(shares(&plan(&holding(2, fleet.clone(), &[("aws-1", 2)]))), [("aws-1", 2)]);
    let fewer = plan(&holding(3, fleet.clone(), &[("aws-1", 2), ("azure-1", 2)]));
    assert_eq!(shares(&fewer), [("aws-1", 1), ("azure-1", 2)], "a tainted cluster gives up first");
    for (toleration, tolerated) in [
        (toleration(Some("maintenance"), TolerationOperator::Equal, Some("true"), None), true),
        (toleration(Some("maintenance"), TolerationOperator::Equal, Some("false"), None), false),
        (toleration(Some("maintenance"), TolerationOperator::Exists, None, Some(TaintEffect::NoSchedule)), true),
        (toleration(Some("maintenance"), TolerationOperator::Exists, None, Some(TaintEffect::NoExecute)), false),
        (toleration(None, TolerationOperator::Exists, None, None), true),
        (toleration(Some("other"), TolerationOperator::Exists, None, None), false),
    ] {
        let mut snapshot = snapshot(1, fleet.clone());
        snapshot.request.placement.tolerations = vec![toleration.clone()];
        assert_eq!(plan(&snapshot).verdicts["aws-1"] != Verdict::Eligible, !tolerated, "{toleration:?}");
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
    let required = plan(&snapshot(6, fleet.clone()));
    assert_eq!((required.unplaced, required.assignments.len()), (6, 0));
    assert!(required.verdicts.values().all(|verdict| verdict.exclusion() == Some(&Exclusion::NoBucketNear)));
    fleet[1].data = Data::Near;
    let mut preferred = snapshot(6, fleet);
    preferred.request.placement = placement(json!({"dataLocality": "Preferred"}));
    preferred.candidates[1].room.replicas = 4;
    preferred.candidates[1].room.preferred = 4;
    assert_eq!(shares(&plan(&preferred)), [("aws-1", 1), ("azure-1", 4), ("gcp-1", 1)], "near the data first");
}

#[test]
fn spread_bounds_are_kept() {
    let fleet = || {
        let mut fleet: Vec<Candidate> = ["aws-1", "aws-2", "azure-1", "gcp-1", "gcp-2"].map(cluster).to_vec();
        fleet[1].region = "aws-other".to_owned();
        fleet
    };
    for (spread, replicas, wanted, unplaced) in [
        (
            json!([{"by": "provider", "maxSkew": 1}]),
            6,
            vec![("aws-1", 1), ("aws-2", 1), ("azure-1", 2), ("gcp-1", 1), ("gcp-2", 1)],
            0,
        ),
        (json!([{"by": "provider", "maxReplicas": 1}]), 6, vec![("aws-1", 1), ("azure-1", 1), ("gcp-1", 1)], 3),
        (json!([{"by": "provider", "maxPlaces": 1}]), 4, vec![("aws-1", 2), ("aws-2", 2)], 0),
        (json!([{"by": "cluster", "maxPlaces": 2}]), 5, vec![("aws-1", 3), ("aws-2", 2)], 0),
        (json!([{"by": "provider", "minPlaces": 3}]), 3, vec![("aws-1", 1), ("azure-1", 1), ("gcp-1", 1)], 0),
        (
            json!([{"by": "provider", "minReplicas": 2}]),
            6,
            vec![("aws-1", 1), ("aws-2", 1), ("azure-1", 2), ("gcp-1", 1), ("gcp-2", 1)],
            0,
        ),
        (
            json!([{"by": "region", "minPlaces": 4}, {"by": "provider", "maxReplicas": 2}]),
            4,
            vec![("aws-1", 1), ("aws-2", 1), ("azure-1", 1), ("gcp-1", 1)],
            0,
        ),
    ] {
        let mut snapshot = snapshot(replicas, fleet());
        snapshot.request.placement = placement(json!({"spread": spread}));
        let plan = plan(&snapshot);
        assert_eq!((shares(&plan), plan.unplaced), (wanted, unplaced), "{spread}");
        assert_eq!(plan.unmet, Vec::<String>::new(), "{spread}");
    }
}

#[test]
fn of_the_places_that_may_be_used_those_with_room_are_selected() {
    let mut fleet: Vec<Candidate> = ["aws-1", "azure-1", "gcp-1"].map(cluster).to_vec();
    for (index, room) in [2, 9, 3].into_iter().enumerate() {
        fleet[index].room = Room { replicas: room, preferred: room, shortage: None };
    }
    let mut snapshot = snapshot(6, fleet);
    snapshot.request.placement = placement(json!({"spread": [{"by": "provider", "maxPlaces": 1}]}));
    assert_eq!(shares(&plan(&snapshot)), [("azure-1", 6)]);
}

#[test]
fn a_lower_bound_that_cannot_be_kept_is_said_and_does_not_stop_the_rest() {
    let mut fleet = fleet();
    full(&mut fleet[2]);
    let mut snapshot = snapshot(4, fleet);
    snapshot.request.placement.min_clusters = Some(3);
    let plan = plan(&snapshot);
    assert_eq!(shares(&plan), [("aws-1", 2), ("azure-1", 2)]);
    assert_eq!(plan.unmet, ["replicas are in 2 clusters, of at least 3"]);
}

#[test]
fn fewer_replicas_keep_the_bounds_too() {
    let mut snapshot = holding(3, fleet(), &[("aws-1", 3), ("azure-1", 1), ("gcp-1", 1)]);
    snapshot.request.placement.min_clusters = Some(3);
    assert_eq!(shares(&plan(&snapshot)), [("aws-1", 1), ("azure-1", 1), ("gcp-1", 1)]);
}

#[test]
fn groups_stay_together_and_all_or_nothing_waits_for_room() {
    let mut snapshot = snapshot(7, fleet());
    snapshot.candidates[0].room = Room { replicas: 3, preferred: 3, shortage: None };
    snapshot.request.placement.gang = Some(Gang { group_size: 2, all_or_nothing: false });
    let groups = plan(&snapshot);
    assert_eq!((shares(&groups), groups.unplaced), (vec![("aws-1", 2), ("azure-1", 2), ("gcp-1", 2)], 1));
    assert_eq!(groups.unmet, ["1 replicas fill no group of 2"]);

    for (room, placed) in [(2, 0), (3, 9)] {
        let mut fleet = fleet();
        for candidate in &mut fleet {
            candidate.room = Room { replicas: room, preferred: room, shortage: None };
        }
        let mut together = super::snapshot(9, fleet);
        together.request.placement.gang = Some(Gang { group_size: 1, all_or_nothing: true });
        assert_eq!(9 - plan(&together).unplaced, placed, "room for {room} in each of three");
    }
}

#[test]
fn running_replicas_move_to_better_places_only_when_asked_and_within_the_budget() {
    let mut fleet = fleet();
    fleet.push(cluster("on-prem"));
    let mut snapshot = holding(8, fleet, &[("aws-1", 3), ("azure-1", 3), ("gcp-1", 2)]);
    snapshot.request.placement = placement(json!({"rebalance": {"maxReplicasPerHour": 1}}));
    let first = plan(&snapshot);
    assert_eq!(both(&first), [("aws-1", 2, 1), ("azure-1", 3, 0), ("gcp-1", 2, 0), ("on-prem", 1, 0)]);
    let status = first.rebalanced.clone().expect("it is counted");
    assert_eq!((status.moved, status.last.as_str()), (1, "1 from aws-1 to on-prem: RoundRobin"));
    assert_eq!(first.news.len(), 1);

    snapshot.request.rebalanced = Some(status);
    for (name, desired, retained, ready) in [("aws-1", 2, 1, 3), ("on-prem", 1, 0, 0)] {
        named(&mut snapshot.candidates, name).held = Held { desired, retained, ready, ..Held::default() };
    }
    let under_way = plan(&snapshot);
    assert_eq!(both(&under_way), both(&first), "nothing more moves while one does");
    for (name, desired) in [("aws-1", 2), ("on-prem", 1)] {
        named(&mut snapshot.candidates, name).held = Held { desired, ready: desired, ..Held::default() };
    }
    let spent = plan(&snapshot);
    assert_eq!(shares(&spent), [("aws-1", 2), ("azure-1", 3), ("gcp-1", 2), ("on-prem", 1)], "the budget is spent");
    assert_eq!(spent.look_again, Some(at(NOW + 3600)));
    snapshot.now = at(NOW + 3600);
    assert_eq!(shares(&plan(&snapshot)), [("aws-1", 2), ("azure-1", 2), ("gcp-1", 2), ("on-prem", 2)]);
}

#[test]
fn a_cluster_without_a_bound_of_room_gives_replicas_up_too() {
    let mut fleet = fleet();
    for candidate in &mut fleet {
        candidate.room = crate::capacity::Room::UNBOUNDED;
    }
    assert_eq!(shares(&plan(&holding(3, fleet.clone(), &SIX))), [("aws-1", 1), ("azure-1", 1), ("gcp-1", 1)]);
    let mut snapshot = holding(6, fleet, &[("aws-1", 6)]);
    snapshot.request.placement = placement(json!({"strategy": "Binpack", "rebalance": {"maxReplicasPerHour": 1}}));
    assert_eq!(shares(&plan(&snapshot)), [("aws-1", 6)]);
}

#[test]
fn groups_of_another_size_than_before_never_leave_more_than_is_asked_for() {
    let mut snapshot = holding(12, fleet(), &[("aws-1", 5), ("azure-1", 5), ("gcp-1", 3)]);
    snapshot.request.placement.gang = Some(Gang { group_size: 3, all_or_nothing: false });
    for candidate in &mut snapshot.candidates {
        full(candidate);
    }
    let plan = plan(&snapshot);
    assert_eq!(plan.assignments.iter().map(|of| of.desired).sum::<i32>() + plan.unplaced, 12);
    assert_eq!(both(&plan), [("aws-1", 5, 0), ("azure-1", 3, 0), ("gcp-1", 3, 0)], "what is no whole group goes");
}

#[test]
fn a_skew_counts_among_the_places_that_were_chosen() {
    let mut snapshot = snapshot(7, ["aws-1", "azure-1", "gcp-1"].map(cluster).to_vec());
    snapshot.request.placement = placement(json!({"spread": [{"by": "provider", "maxSkew": 1, "maxPlaces": 2}]}));
    assert_eq!(shares(&plan(&snapshot)), [("aws-1", 4), ("azure-1", 3)]);
    let mut grown = snapshot.clone();
    grown.candidates = holding(9, grown.candidates, &[("aws-1", 4), ("azure-1", 3)]).candidates;
    grown.request.replicas = 9;
    assert_eq!(shares(&plan(&grown)), [("aws-1", 5), ("azure-1", 4)], "the third place is out of it");
}
