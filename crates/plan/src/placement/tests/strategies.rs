use jiff::SignedDuration;
use serde_json::json;
use skyfleet_api::model_deployment::{CapacityType, Strategy};

use super::*;
use crate::load::{Load, Requests};

fn by(strategy: Strategy, replicas: i32, candidates: Vec<Candidate>) -> Snapshot {
    let mut snapshot = snapshot(replicas, candidates);
    snapshot.request.placement.strategy = strategy;
    snapshot
}

fn load(in_flight: f64, first_token: f64, age: i64) -> Load {
    Load {
        observed: at(NOW) - SignedDuration::from_secs(age),
        reporting: 2,
        in_flight: Some(in_flight),
        queued: None,
        time_to_first_token: Some(first_token),
        requests: None,
        error_ratio: None,
    }
}

fn serving() -> Vec<Candidate> {
    let mut fleet = fleet();
    for candidate in &mut fleet {
        candidate.held = Held { desired: 2, ready: 2, ..Held::default() };
    }
    fleet
}

fn room(candidate: &mut Candidate, replicas: i64) {
    candidate.room = Room { replicas, preferred: replicas, shortage: None };
}

#[test]
fn weighted_shares_are_in_proportion() {
    let mut snapshot = by(Strategy::Weighted, 12, fleet());
    snapshot.request.placement.weights = serde_json::from_value(json!([
        {"clusters": ["aws-1"], "weight": 3},
        {"clusters": ["azure-1"], "weight": 0},
    ]))
    .expect("weights");
    assert_eq!(shares(&plan(&snapshot)), [("aws-1", 9), ("gcp-1", 3)]);
}

#[test]
fn least_connection_goes_where_the_fewest_are_in_flight_for_the_capacity() {
    let mut fleet = serving();
    for (index, in_flight) in [40.0, 10.0, 20.0].into_iter().enumerate() {
        fleet[index].load = Some(load(in_flight, 0.1, 5));
    }
    // 10 in flight where 4 replicas fit is more than 20 where 102 do.
    room(&mut fleet[1], 2);
    let fresh = plan(&by(Strategy::LeastConnection, 8, fleet.clone()));
    assert_eq!(shares(&fresh), [("aws-1", 2), ("azure-1", 2), ("gcp-1", 4)]);
    assert_eq!(fresh.strategy, "LeastConnection by requests in flight");
    for candidate in &mut fleet {
        candidate.load = Some(load(1.0, 0.1, 61));
    }
    let stale = plan(&by(Strategy::LeastConnection, 8, fleet));
    assert_eq!(shares(&stale), [("aws-1", 3), ("azure-1", 3), ("gcp-1", 2)]);
    assert!(stale.strategy.ends_with("as RoundRobin: no cluster has reported requests in flight for 60 s"));
    let mut first = super::fleet();
    room(&mut first[0], 6);
    room(&mut first[1], 3);
    room(&mut first[2], 3);
    let new = plan(&by(Strategy::LeastConnection, 4, first));
    assert_eq!(shares(&new), [("aws-1", 2), ("azure-1", 1), ("gcp-1", 1)], "{}", new.strategy);
}

#[test]
fn what_gateways_tell_stands_in_for_replicas_that_do_not_tell() {
    let told = |in_flight: [f64; 3], first_bytes: [f64; 3]| {
        let requests = in_flight
            .into_iter()
            .zip(first_bytes)
            .map(|(in_flight, first)| Requests { in_flight, first_byte: Some(first) });
        fleet().into_iter().map(|candidate| candidate.name).zip(requests).collect()
    };
    let with = |strategy, fleet: Vec<Candidate>| {
        let mut snapshot = by(strategy, 8, fleet);
        snapshot.complete_loads(&told([40.0, 40.0, 10.0], [0.5, 0.2, 0.5]));
        plan(&snapshot)
    };
    let connection = with(Strategy::LeastConnection, serving());
    assert_eq!(shares(&connection), [("aws-1", 2), ("azure-1", 2), ("gcp-1", 4)]);
    assert_eq!(connection.strategy, "LeastConnection by requests in flight");
    let response = with(Strategy::LeastResponseTime, serving());
    assert_eq!(shares(&response), [("aws-1", 2), ("azure-1", 4), ("gcp-1", 2)]);
    assert_eq!(response.strategy, "LeastResponseTime by time to first token, then round trip");
    // Their own word counts for more.
    let mut fleet = serving();
    fleet[1].load = Some(load(1.0, 9.0, 5));
    assert_eq!(shares(&with(Strategy::LeastConnection, fleet.clone())), [("aws-1", 2), ("azure-1", 4), ("gcp-1", 2)]);
    assert_eq!(shares(&with(Strategy::LeastResponseTime, fleet)), [("aws-1", 3), ("azure-1", 2), ("gcp-1", 3)]);
    assert_eq!(shares(&with(Strategy::RoundRobin, serving())), [("aws-1", 3), ("azure-1", 3), ("gcp-1", 2)]);
}

#[test]
fn least_response_time_goes_by_first_token_then_round_trip_then_turn() {
    let mut fleet = serving();
    for (index, (first_token, trip)) in [(0.5, 10), (0.2, 50), (0.2, 20)].into_iter().enumerate() {
        fleet[index].load = Some(load(1.0, first_token, 5));
        fleet[index].round_trip_milliseconds = Some(trip);
    }
    let measured = plan(&by(Strategy::LeastResponseTime, 8, fleet.clone()));
    assert_eq!(shares(&measured), [("aws-1", 2), ("azure-1", 2), ("gcp-1", 4)]);
    for candidate in &mut fleet {
        candidate.load = None;
    }
    let trips = plan(&by(Strategy::LeastResponseTime, 8, fleet.clone()));
    assert_eq!(shares(&trips), [("aws-1", 4), ("azure-1", 2), ("gcp-1", 2)]);
    assert!(trips.strategy.contains("by round trip: no cluster has reported"), "{}", trips.strategy);
    for candidate in &mut fleet {
        candidate.round_trip_milliseconds = None;
    }
    let nothing = plan(&by(Strategy::LeastResponseTime, 8, fleet));
    assert_eq!(shares(&nothing), [("aws-1", 3), ("azure-1", 3), ("gcp-1", 2)]);
}

#[test]
fn binpack_uses_as_few_clusters_as_can_be() {
    for (rooms, replicas, wanted) in [
        ([5, 9, 4], 4, vec![("gcp-1", 4)]),
        ([5, 9, 4], 5, vec![("aws-1", 5)]),
        ([5, 9, 4], 13, vec![("azure-1", 9), ("gcp-1", 4)]),
        ([5, 9, 4], 20, vec![("aws-1", 5), ("azure-1", 9), ("gcp-1", 4)]),
    ] {
        let mut fleet = fleet();
        for (candidate, replicas) in fleet.iter_mut().zip(rooms) {
            room(candidate, replicas);
        }
        assert_eq!(shares(&plan(&by(Strategy::Binpack, replicas, fleet))), wanted, "{replicas} into {rooms:?}");
    }
}

#[test]
fn spread_evens_out_providers_before_clusters() {
    let fleet = ["aws-1", "aws-2", "aws-3", "gcp-1"].map(cluster).to_vec();
    let plan = plan(&by(Strategy::Spread, 6, fleet));
    assert_eq!(shares(&plan), [("aws-1", 1), ("aws-2", 1), ("aws-3", 1), ("gcp-1", 3)]);
}

#[test]
fn cheapest_goes_by_price_and_what_has_none_comes_last() {
    let mut fleet = fleet();
    for (candidate, price) in fleet.iter_mut().zip([Some(2.5), None, Some(1.0)]) {
        candidate.price = price;
        room(candidate, 2);
    }
    let priced = plan(&by(Strategy::Cheapest, 5, fleet.clone()));
    assert_eq!(shares(&priced), [("aws-1", 2), ("azure-1", 1), ("gcp-1", 2)]);
    for candidate in &mut fleet {
        candidate.price = None;
    }
    let none = plan(&by(Strategy::Cheapest, 3, fleet));
    assert_eq!(shares(&none), [("aws-1", 1), ("azure-1", 1), ("gcp-1", 1)]);
    assert!(none.strategy.contains("no Cluster gives prices"), "{}", none.strategy);
}

#[test]
fn preferred_nodes_are_filled_first() {
    let mut fleet = fleet();
    fleet[0].room = Room { replicas: 10, preferred: 1, shortage: None };
    fleet[1].room = Room { replicas: 10, preferred: 0, shortage: None };
    fleet[2].room = Room { replicas: 10, preferred: 3, shortage: None };
    let mut snapshot = snapshot(4, fleet);
    snapshot.request.placement.capacity_type = CapacityType::PreferSpot;
    assert_eq!(shares(&plan(&snapshot)), [("aws-1", 1), ("gcp-1", 3)]);
}
