//! Small fleets, where every distribution can be tried: how often the planner finds the best, and how far off it is otherwise.

use std::cmp::Ordering;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use skyfleet_api::model_deployment::{Spread, TopologyKey};

use super::objective::{Objective, objective};
use super::random::{Weather, snapshots};
use super::*;
use crate::placement::{Exclusion, Verdict};

/// How many more than it has each cluster gets, in the order of the candidates.
type Given = Vec<i32>;

/// A question, and which clusters may take replicas by the verdicts on them.
struct Fleet<'a> {
    snapshot: &'a Snapshot,
    /// They may take more.
    eligible: Vec<bool>,
    /// They may, but for want of room.
    open: Vec<bool>,
}

/// Replicas placed, by how much lower bounds are missed, and what the strategy wants.
#[derive(Clone, Debug)]
struct Quality {
    placed: i32,
    missed: i32,
    objective: Objective,
}

impl Quality {
    fn of(fleet: &Fleet<'_>, given: &Given) -> Self {
        let objective = objective(fleet.snapshot, given);
        Self { placed: given.iter().sum(), missed: missed(fleet, given), objective }
    }

    /// Less is better.
    fn compare(&self, other: &Self) -> Ordering {
        let first = (-self.placed, self.missed).cmp(&(-other.placed, other.missed));
        let numbers = self.objective.iter().zip(&other.objective);
        // Sums of the same numbers in another order.
        let differ = |(a, b): &(&f64, &f64)| (*a - *b).abs() > 1e-13 * (1.0 + a.abs());
        let rest = numbers.into_iter().find(differ).map_or(Ordering::Equal, |(a, b)| a.total_cmp(b));
        first.then(rest)
    }

    /// How many times worse it is than the best.
    fn ratio(&self, best: &Self) -> f64 {
        if self.placed != best.placed {
            return f64::from(best.placed) / f64::from(self.placed.max(1)).min(f64::from(best.placed) - 0.5);
        }
        if self.missed != best.missed {
            return f64::INFINITY;
        }
        let mut numbers = self.objective.iter().zip(&best.objective);
        let worse = numbers.find(|(a, b)| (*a - *b).abs() > 1e-13 * (1.0 + a.abs()));
        worse.map_or(1.0, |(a, b)| if b.abs() > 1e-9 { 1.0 + (a - b) / b.abs() } else { f64::INFINITY })
    }
}

/// Replicas by place; `true` with those that may hold some.
fn places<'a>(by: TopologyKey, fleet: &Fleet<'a>, given: &Given) -> BTreeMap<&'a str, (i32, i32, bool)> {
    let mut places: BTreeMap<&str, (i32, i32, bool)> = BTreeMap::new();
    for (index, candidate) in fleet.snapshot.candidates.iter().enumerate() {
        let name = match by {
            TopologyKey::Provider => candidate.provider.as_str(),
            TopologyKey::Region => &candidate.region,
            TopologyKey::Cluster => &candidate.name,
        };
        let place = places.entry(name).or_default();
        place.0 += candidate.held.desired + given[index];
        place.1 += given[index];
        place.2 |= fleet.open[index];
    }
    places
}

/// The places that are compared with one another: once as many are in use as may be, only those.
fn compared(spread: &Spread, places: &BTreeMap<&str, (i32, i32, bool)>) -> Vec<i32> {
    let used = i32::try_from(places.values().filter(|place| place.0 > 0).count()).expect("few");
    let chosen = spread.max_places.is_some_and(|most| used >= most);
    let compared = places.values().filter(|(replicas, _, open)| *replicas > 0 || (*open && !chosen));
    compared.map(|place| place.0).collect()
}

/// Whether no upper bound is passed where something is given.
fn is_allowed(fleet: &Fleet<'_>, given: &Given) -> bool {
    let snapshot = fleet.snapshot;
    let placement = &snapshot.request.placement;
    let group = placement.gang.as_ref().map_or(1, |gang| gang.group_size);
    let candidates = snapshot.candidates.iter().zip(given);
    let whole = candidates.filter(|(_, given)| **given > 0).all(|(of, given)| (of.held.desired + given) % group == 0);
    whole
        && placement.spread.iter().all(|spread| {
            let places = places(spread.by, fleet, given);
            let least = compared(spread, &places).into_iter().min().unwrap_or_default();
            let (mut used, mut used_before) = (0, 0);
            for (replicas, more, _) in places.values() {
                used += i32::from(*replicas > 0);
                used_before += i32::from(replicas - more > 0);
            }
            let grown = || places.values().filter(|place| place.1 > 0).map(|place| place.0);
            spread.max_replicas.is_none_or(|most| grown().all(|replicas| replicas <= most))
                && spread.max_skew.is_none_or(|most| grown().all(|replicas| replicas - least <= most))
                && spread.max_places.is_none_or(|most| used <= most.max(used_before))
        })
}

/// By how many places and replicas lower bounds are missed, beyond what too few replicas cannot help.
fn missed(fleet: &Fleet<'_>, given: &Given) -> i32 {
    let snapshot = fleet.snapshot;
    let placement = &snapshot.request.placement;
    let group = placement.gang.as_ref().map_or(1, |gang| gang.group_size);
    let total: i32 =
        snapshot.candidates.iter().map(|candidate| candidate.held.desired).sum::<i32>() + given.iter().sum::<i32>();
    let mut missed = 0;
    for by in [TopologyKey::Cluster, TopologyKey::Region, TopologyKey::Provider] {
        let none =
            Spread { by, max_skew: None, min_places: None, max_places: None, min_replicas: None, max_replicas: None };
        let spread = placement.spread.iter().find(|spread| spread.by == by).unwrap_or(&none);
        let places = places(by, fleet, given);
        let used = i32::try_from(places.values().filter(|place| place.0 > 0).count()).expect("few");
        let clusters = placement.min_clusters.filter(|_| by == TopologyKey::Cluster);
        let least = spread.min_places.max(clusters).unwrap_or_default();
        missed += (least.min(total / group) - used).max(0);
        let compared = compared(spread, &places);
        let least = spread.min_replicas.unwrap_or_default();
        let short: i32 = compared.iter().map(|replicas| (least - replicas).max(0)).sum();
        let wanted = least * i32::try_from(compared.len()).expect("few");
        missed += (short - (wanted - total).max(0)).max(0);
    }
    missed
}

/// The best of all ways to give out up to `missing`.
fn best(fleet: &Fleet<'_>, missing: i32) -> Quality {
    let room = |(candidate, eligible): (&Candidate, &bool)| {
        if *eligible { candidate.room.replicas.clamp(0, missing.into()).try_into().expect("few") } else { 0 }
    };
    let rooms: Vec<i32> = fleet.snapshot.candidates.iter().zip(&fleet.eligible).map(room).collect();
    let mut best = Quality::of(fleet, &vec![0; rooms.len()]);
    let mut given = vec![0; rooms.len()];
    // Counts like an odometer.
    loop {
        let mut digit = 0;
        while digit < given.len() && (given[digit] == rooms[digit] || given.iter().sum::<i32>() == missing) {
            given[digit] = 0;
            digit += 1;
        }
        if digit == given.len() {
            return best;
        }
        given[digit] += 1;
        if given.iter().sum::<i32>() >= best.placed && is_allowed(fleet, &given) {
            let quality = Quality::of(fleet, &given);
            if quality.compare(&best) == Ordering::Less {
                best = quality;
            }
        }
    }
}

/// How the plan compares with the best; `None` where nothing is to be given out.
fn ratio(snapshot: &Snapshot) -> Option<f64> {
    let placement = &snapshot.request.placement;
    let group = placement.gang.as_ref().map_or(1, |gang| gang.group_size);
    let held: i32 = snapshot.candidates.iter().map(|candidate| candidate.held.desired).sum();
    let missing = snapshot.request.replicas / group * group - held;
    if missing <= 0 {
        return None;
    }
    let plan = plan(snapshot);
    let verdicts = || snapshot.candidates.iter().map(|candidate| &plan.verdicts[&candidate.name]);
    let fleet = Fleet {
        snapshot,
        eligible: verdicts().map(|verdict| *verdict == Verdict::Eligible).collect(),
        open: verdicts()
            .map(|verdict| matches!(verdict, Verdict::Eligible | Verdict::Keeps(Exclusion::NoRoom(_))))
            .collect(),
    };
    let given: Given = snapshot
        .candidates
        .iter()
        .map(|candidate| plan.assignment(&candidate.name).map_or(0, |of| of.desired) - candidate.held.desired)
        .collect();
    assert!(is_allowed(&fleet, &given), "{given:?} is not allowed: {}", text(snapshot));
    let mut best = best(&fleet, missing);
    let together = placement.gang.as_ref().is_some_and(|gang| gang.all_or_nothing);
    if together && best.placed < missing {
        best = Quality::of(&fleet, &vec![0; given.len()]);
    }
    let found = Quality::of(&fleet, &given);
    assert_ne!(found.compare(&best), Ordering::Less, "not every distribution was tried: {}", text(snapshot));
    Some(found.ratio(&best))
}

fn text(snapshot: &Snapshot) -> String {
    serde_json::to_string(snapshot).expect("plain data")
}

/// How often the best was found.
#[derive(Default)]
struct Tally {
    cases: u32,
    best: u32,
    /// Within a twentieth of it, those that are the best included.
    close: u32,
    worst: f64,
    example: String,
}

impl Tally {
    fn add(&mut self, ratio: f64, snapshot: &Snapshot) {
        self.cases += 1;
        self.best += u32::from(ratio <= 1.0);
        self.close += u32::from(ratio <= 1.05);
        if ratio > self.worst {
            (self.worst, self.example) = (ratio, text(snapshot));
        }
    }

    fn percent(&self, of: u32) -> f64 {
        100.0 * f64::from(of) / f64::from(self.cases)
    }
}

/// A small fleet and a request: every other fleet is new, the others grow, by up to six replicas.
fn question(runner: &mut TestRunner, is_new: bool) -> Snapshot {
    let mut snapshot = snapshots(5, Weather::Calm).new_tree(runner).expect("a snapshot").current();
    let group = snapshot.request.placement.gang.as_ref().map_or(1, |gang| gang.group_size);
    for held in snapshot.candidates.iter_mut().map(|candidate| &mut candidate.held) {
        held.desired = if is_new { 0 } else { held.desired - held.desired % group };
        held.ready = held.desired;
    }
    let held: i32 = snapshot.candidates.iter().map(|candidate| candidate.held.desired).sum();
    snapshot.request.replicas = held + snapshot.request.replicas % 7;
    snapshot
}

#[test]
fn of_all_distributions_the_best_is_found() {
    let wanted = std::env::var("BRUTE_FORCE_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(3000);
    let mut runner = TestRunner::deterministic();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut cases = 0;
    while cases < wanted {
        let snapshot = question(&mut runner, cases % 2 == 0);
        let Some(ratio) = ratio(&snapshot) else { continue };
        cases += 1;
        let strategy = format!("{:?}", snapshot.request.placement.strategy);
        tallies.entry(strategy).or_default().add(ratio, &snapshot);
        tallies.entry("all".to_owned()).or_default().add(ratio, &snapshot);
    }
    for (name, tally) in &tallies {
        let (best, close) = (tally.percent(tally.best), tally.percent(tally.close));
        let Tally { cases, worst, example, .. } = tally;
        println!(
            "{name}: of {cases} the best in {best:.2} %, within 5 % in {close:.2} %, at worst {worst:.2} times it"
        );
        assert!(best >= 99.0 && close >= 99.8, "{name}: for example {example}");
    }
}
