//! What each strategy wants, worked out from the candidates alone: sums over the replicas given, as `score` documents them.

use skyfleet_api::model_deployment::{DataLocality, Strategy as Sharing};

use super::*;

/// The less the better, number by number.
pub(super) type Objective = Vec<f64>;

/// How good it is to give each cluster so many more than it has.
pub(super) fn objective(snapshot: &Snapshot, given: &[i32]) -> Objective {
    let candidates = &snapshot.candidates;
    let mut sums = vec![tiers(snapshot, given)];
    match strategy(snapshot) {
        Sharing::RoundRobin => sums.push(sum(candidates, given, |_, held, added| f64::from(held + added))),
        Sharing::Weighted => sums.push(sum(candidates, given, |candidate, held, added| {
            f64::from(2 * (held + added) + 1) / f64::from(weight(snapshot, candidate))
        })),
        Sharing::Spread => {
            let names: [fn(&Candidate) -> &str; 3] =
                [|candidate| candidate.provider.as_str(), |candidate| &candidate.region, |candidate| &candidate.name];
            sums.extend(names.map(|name| squares(candidates, given, name)));
        }
        Sharing::Binpack => {
            let used = candidates.iter().zip(given).filter(|(candidate, given)| candidate.held.desired + **given > 0);
            sums.push(f64::from(u32::try_from(used.count()).expect("few")));
        }
        Sharing::LeastConnection => sums.extend(connections(snapshot, given)),
        Sharing::LeastResponseTime => sums.extend(times(snapshot, given)),
        Sharing::Cheapest => {
            let price = |candidate: &Candidate| candidate.price.unwrap_or(1e12);
            sums.push(sum(candidates, given, |candidate, _, _| price(candidate)));
            sums.push(sum(candidates, given, |_, held, added| f64::from(held + added)));
        }
    }
    sums
}

/// The strategy, or in turn where its signal is missing.
fn strategy(snapshot: &Snapshot) -> Sharing {
    let strategy = snapshot.request.placement.strategy;
    let candidates = &snapshot.candidates;
    let known = match strategy {
        Sharing::LeastConnection => {
            let served = candidates.iter().any(|candidate| candidate.held.serving() > 0);
            !served || candidates.iter().any(|candidate| in_flight(snapshot, candidate).is_some())
        }
        Sharing::LeastResponseTime => candidates
            .iter()
            .any(|candidate| first_token(snapshot, candidate).is_some() || candidate.round_trip_milliseconds.is_some()),
        Sharing::Cheapest => candidates.iter().any(|candidate| candidate.price.is_some()),
        _ => true,
    };
    if known { strategy } else { Sharing::RoundRobin }
}

/// Over all replicas given: of the cluster, that it had so many before, and that so many were given before.
fn sum(candidates: &[Candidate], given: &[i32], of: impl Fn(&Candidate, i32, i32) -> f64) -> f64 {
    let of = &of;
    let replicas = candidates
        .iter()
        .zip(given)
        .flat_map(|(candidate, given)| (0..*given).map(move |added| of(candidate, candidate.held.desired, added)));
    replicas.sum()
}

/// Afar from the data costs two, a node that is not preferred one.
fn tiers(snapshot: &Snapshot, given: &[i32]) -> f64 {
    let preferred = snapshot.request.placement.data_locality == DataLocality::Preferred;
    sum(&snapshot.candidates, given, |candidate, _, added| {
        let afar = preferred && candidate.data == Data::NoBucketNear;
        f64::from(u8::from(afar)) * 2.0 + f64::from(u8::from(i64::from(added) >= candidate.room.preferred))
    })
}

fn weight(snapshot: &Snapshot, candidate: &Candidate) -> i32 {
    let weights = &snapshot.request.placement.weights;
    weights.iter().find(|weight| weight.clusters.contains(&candidate.name)).map_or(1, |weight| weight.weight.max(1))
}

fn squares(candidates: &[Candidate], given: &[i32], name: fn(&Candidate) -> &str) -> f64 {
    let mut places: BTreeMap<&str, i32> = BTreeMap::new();
    for (candidate, given) in candidates.iter().zip(given) {
        *places.entry(name(candidate)).or_default() += candidate.held.desired + given;
    }
    places.values().map(|replicas| f64::from(replicas * replicas)).sum()
}

fn in_flight(snapshot: &Snapshot, candidate: &Candidate) -> Option<(f64, i32)> {
    let load = candidate.load.as_ref().filter(|load| load.is_fresh(snapshot.now))?;
    Some((load.in_flight?, load.reporting))
}

/// Requests in flight for the capacity, each new replica with as many as one has on average.
fn connections(snapshot: &Snapshot, given: &[i32]) -> [f64; 3] {
    let candidates = &snapshot.candidates;
    let reports: Vec<(f64, i32)> = candidates.iter().filter_map(|candidate| in_flight(snapshot, candidate)).collect();
    let replicas: i32 = reports.iter().map(|(_, replicas)| replicas).sum();
    let mean = if replicas > 0 { reports.iter().map(|(load, _)| load).sum::<f64>() / f64::from(replicas) } else { 0.0 };
    let full = |candidate: &Candidate| candidate.room.replicas.saturating_add(candidate.held.desired.into());
    let bounded = candidates.iter().filter(|candidate| candidate.room.replicas < i64::from(i32::MAX));
    let largest = bounded.map(full).max().unwrap_or(snapshot.request.replicas.into()).max(1);
    let units =
        |candidate: &Candidate| f64::from(i32::try_from(full(candidate).clamp(1, largest)).expect("small fleets"));
    let load = |candidate: &Candidate| {
        let assumed = mean * f64::from(candidate.held.serving());
        in_flight(snapshot, candidate).map_or(assumed, |(load, _)| load)
    };
    [
        sum(candidates, given, |candidate, _, added| (load(candidate) + mean * f64::from(added)) / units(candidate)),
        sum(candidates, given, |candidate, held, added| f64::from(held + added) / units(candidate)),
        sum(candidates, given, |_, held, added| f64::from(held + added)),
    ]
}

fn first_token(snapshot: &Snapshot, candidate: &Candidate) -> Option<f64> {
    candidate.load.as_ref().filter(|load| load.is_fresh(snapshot.now))?.time_to_first_token
}

/// Time to the first token, one in the middle where none is known, then the round trip; in steps of a quarter.
fn times(snapshot: &Snapshot, given: &[i32]) -> [f64; 3] {
    let candidates = &snapshot.candidates;
    let step = |seconds: f64| (seconds.max(0.001).ln() / 1.25_f64.ln()).round();
    let mut measured: Vec<f64> = candidates.iter().filter_map(|candidate| first_token(snapshot, candidate)).collect();
    measured.sort_by(f64::total_cmp);
    let middle = measured.get(measured.len() / 2).copied();
    let token = |candidate: &Candidate| first_token(snapshot, candidate).or(middle).map_or(0.0, step);
    let trip = |candidate: &Candidate| {
        let trip = candidate.round_trip_milliseconds.map(f64::from);
        trip.map_or(f64::from(i32::MAX), |trip| step(trip / 1000.0))
    };
    [
        sum(candidates, given, |candidate, _, _| token(candidate)),
        sum(candidates, given, |candidate, _, _| trip(candidate)),
        sum(candidates, given, |_, held, added| f64::from(held + added)),
    ]
}
