//! Fleets for the tests of placement.

mod brute_force;
mod failures;
mod objective;
mod properties;
mod random;
mod rules;
mod sequences;
mod simulation;
mod strategies;
mod tables;
mod together;

use std::collections::BTreeMap;

use jiff::Timestamp;
use skyfleet_api::cluster::Provider;

use super::{Candidate, Data, Held, Plan, Request, Snapshot, place};
use crate::capacity::Room;
use crate::failover::{Contact, ContactState};

/// The moment of most tests.
const NOW: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a small number of seconds")
}

fn cluster(name: &str) -> Candidate {
    let provider = match name.split('-').next() {
        Some("aws") => Provider::Aws,
        Some("azure") => Provider::Azure,
        Some("gcp") => Provider::Gcp,
        _ => Provider::OnPremises,
    };
    Candidate {
        name: name.to_owned(),
        provider,
        region: format!("{}-region", provider.as_str()),
        zone: String::new(),
        labels: BTreeMap::new(),
        taints: vec![],
        contact: Contact::answering(at(0)),
        leaving: false,
        data: Data::NotNeeded,
        room: Room { replicas: 100, preferred: 100, shortage: None },
        price: None,
        load: None,
        round_trip_milliseconds: None,
        held: Held::default(),
    }
}

fn fleet() -> Vec<Candidate> {
    ["aws-1", "azure-1", "gcp-1"].map(cluster).to_vec()
}

fn snapshot(replicas: i32, candidates: Vec<Candidate>) -> Snapshot {
    Snapshot { request: Request { replicas, ..Request::default() }, candidates, max_lost_share: 0.5, now: at(NOW) }
}

/// A snapshot in which these replicas were decided before, and are ready.
fn holding(replicas: i32, mut candidates: Vec<Candidate>, held: &[(&str, i32)]) -> Snapshot {
    for (name, replicas) in held {
        let candidate = named(&mut candidates, name);
        candidate.held = Held { desired: *replicas, ready: *replicas, ..Held::default() };
    }
    snapshot(replicas, candidates)
}

fn named<'a>(candidates: &'a mut [Candidate], name: &str) -> &'a mut Candidate {
    candidates.iter_mut().find(|candidate| candidate.name == name).expect("a cluster of the fleet")
}

fn full(candidate: &mut Candidate) {
    candidate.room = Room { shortage: Some(crate::capacity::Shortage::NoNode), ..Room::default() };
}

fn plan(snapshot: &Snapshot) -> Plan {
    place(snapshot).expect("the selector is one")
}

/// Desired replicas by cluster.
fn shares(plan: &Plan) -> Vec<(&str, i32)> {
    plan.assignments.iter().map(|assignment| (assignment.cluster.as_str(), assignment.desired)).collect()
}

/// Desired and retained replicas by cluster.
fn both(plan: &Plan) -> Vec<(&str, i32, i32)> {
    let all = plan.assignments.iter();
    all.map(|assignment| (assignment.cluster.as_str(), assignment.desired, assignment.retained)).collect()
}
