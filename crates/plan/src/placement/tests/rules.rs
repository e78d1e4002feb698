//! What must hold for every plan, judged by the snapshot and the plan alone: nothing here is asked of the planner's own board.

use std::collections::BTreeMap;

use skyfleet_api::model_deployment::{Spread, TopologyKey};

use super::*;
use crate::placement::{Exclusion, News, Verdict};

/// One cluster before and after.
pub(super) struct Change<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) verdict: &'a Verdict,
    pub(super) desired: i32,
    pub(super) in_force: i32,
}

impl Change<'_> {
    /// Whether anything is other than it was.
    pub(super) fn is_one(&self) -> bool {
        let held = &self.candidate.held;
        (self.desired, self.in_force) != (held.desired, held.in_force())
    }
}

pub(super) fn changes<'a>(snapshot: &'a Snapshot, plan: &'a Plan) -> Vec<Change<'a>> {
    let change = |candidate: &'a Candidate| {
        let assignment = plan.assignment(&candidate.name);
        let desired = assignment.map_or(0, |assignment| assignment.desired);
        let retained = assignment.map_or(0, |assignment| assignment.retained);
        let verdict = plan.verdicts.get(&candidate.name).expect("a verdict on every cluster");
        Change { candidate, verdict, desired, in_force: desired + retained }
    };
    snapshot.candidates.iter().map(change).collect()
}

/// The rules that a plan breaks, in words.
pub(super) fn broken(snapshot: &Snapshot, plan: &Plan) -> Vec<String> {
    let changes = changes(snapshot, plan);
    let mut broken: Vec<String> = changes.iter().flat_map(cluster_rules).collect();
    broken.extend(sums(snapshot, plan, &changes));
    broken.extend(serving(snapshot, &changes));
    broken.extend(groups(snapshot, plan, &changes));
    for spread in &snapshot.request.placement.spread {
        broken.extend(bounds(spread, &changes));
    }
    // What went back may have made room, which the next plan uses.
    if plan.unplaced > 0 && !plan.news.iter().any(|news| matches!(news, News::FailedBack(_))) {
        broken.extend(idle_room(snapshot, &changes));
    }
    broken
}

fn cluster_rules(change: &Change<'_>) -> Vec<String> {
    let Change { candidate, verdict, desired, in_force } = change;
    let (name, held, room) = (&candidate.name, &candidate.held, &candidate.room);
    let more = in_force - held.in_force();
    let mut broken = Vec::new();
    let mut rule = |holds: bool, what: &str| {
        if !holds {
            broken.push(format!("{name}: {what} ({verdict:?}, {held:?}, {room:?}, now {desired} of {in_force})"));
        }
    };
    rule(*desired >= 0 && in_force >= desired, "no number is negative");
    rule(i64::from(more) <= room.replicas.max(0), "none gets more than it has room for");
    rule(**verdict == Verdict::Eligible || more <= 0, "who is excluded gets no more");
    rule(candidate.contact.is_usable() || more >= 0, "what cannot be reached is left");
    // Replicas that were given up and still serve may be taken back into the count where the cluster is merely full.
    let full = matches!(verdict, Verdict::Keeps(Exclusion::NoRoom(_)));
    rule(**verdict == Verdict::Eligible || full || *desired <= held.desired, "who is excluded is not to have more");
    broken
}

fn sums(snapshot: &Snapshot, plan: &Plan, changes: &[Change<'_>]) -> Option<String> {
    let desired: i32 = changes.iter().map(|change| change.desired).sum();
    let asked = snapshot.request.replicas;
    (plan.unplaced < 0 || desired + plan.unplaced != asked)
        .then(|| format!("{desired} decided and {} unplaced are not {asked}", plan.unplaced))
}

/// As many as are asked for go on serving, as far as so many did and can be told where to.
fn serving(snapshot: &Snapshot, changes: &[Change<'_>]) -> Option<String> {
    let reached = || changes.iter().filter(|change| change.candidate.contact.is_usable());
    let before: i32 = reached().map(|change| change.candidate.held.serving()).sum();
    let after: i32 = reached().map(|change| change.candidate.held.serving().min(change.in_force)).sum();
    (after < before.min(wanted(snapshot, changes))).then(|| format!("of {before} that served {after} are left"))
}

/// How many shall serve at every moment: what is asked for in whole groups, or what was placed of it where bounds allow no
/// more and nobody has to go.
pub(super) fn wanted(snapshot: &Snapshot, changes: &[Change<'_>]) -> i32 {
    let asked = snapshot.request.replicas;
    let group = snapshot.request.placement.gang.as_ref().map_or(1, |gang| gang.group_size);
    let goes = |change: &Change<'_>| {
        matches!(change.verdict, Verdict::GivesUp(_)) && change.candidate.held.in_force() > change.desired
    };
    let placed = changes.iter().map(|change| change.desired).sum();
    if changes.iter().any(goes) { asked - asked % group } else { placed }
}

fn groups(snapshot: &Snapshot, plan: &Plan, changes: &[Change<'_>]) -> Vec<String> {
    let Some(gang) = &snapshot.request.placement.gang else { return vec![] };
    let torn = |change: &&Change<'_>| change.desired > counted(change) && change.desired % gang.group_size != 0;
    let mut broken: Vec<String> = changes
        .iter()
        .filter(torn)
        // What is left where it is, because no other can take it, is as it was.
        .filter(|change| change.desired > change.candidate.held.desired)
        .map(|change| format!("{} has {} in groups of {}", change.candidate.name, change.desired, gang.group_size))
        .collect();
    let short = plan.unplaced >= gang.group_size;
    if gang.all_or_nothing && short && changes.iter().any(|change| change.in_force > change.candidate.held.in_force()) {
        broken.push(format!("some are placed and {} are not", plan.unplaced));
    }
    broken
}

/// What of a cluster's replicas counted before.
fn counted(change: &Change<'_>) -> i32 {
    let desired = change.candidate.held.desired;
    match change.verdict {
        Verdict::GivesUp(Exclusion::NotServing { ready, .. }) => desired.min(*ready),
        Verdict::GivesUp(_) => 0,
        _ => desired,
    }
}

fn place(by: TopologyKey, candidate: &Candidate) -> &str {
    match by {
        TopologyKey::Provider => candidate.provider.as_str(),
        TopologyKey::Region => &candidate.region,
        TopologyKey::Cluster => &candidate.name,
    }
}

/// The replicas of a place.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    before: i32,
    after: i32,
    /// Of those after, the ones that do not merely stay because no other cluster can take them.
    sound: i32,
    /// It may hold some.
    open: bool,
}

fn tallies<'a>(spread: &Spread, changes: &[Change<'a>]) -> BTreeMap<&'a str, Tally> {
    let mut places: BTreeMap<&str, Tally> = BTreeMap::new();
    for change in changes {
        let place = places.entry(place(spread.by, change.candidate)).or_default();
        place.before += change.candidate.held.desired;
        place.after += change.desired;
        let gives_up = matches!(change.verdict, Verdict::GivesUp(_));
        place.sound += if gives_up { change.desired.min(counted(change)) } else { change.desired };
        place.open |= matches!(change.verdict, Verdict::Eligible | Verdict::Keeps(Exclusion::NoRoom(_)));
    }
    places
}

fn used<'a>(places: &BTreeMap<&'a str, Tally>, replicas: fn(&Tally) -> i32) -> i32 {
    i32::try_from(places.values().filter(|place| replicas(place) > 0).count()).expect("few places")
}

/// The fewest replicas of a place that is compared: those that may hold some, and once as many are in use as may be, these.
fn least(spread: &Spread, places: &BTreeMap<&str, Tally>, replicas: fn(&Tally) -> i32) -> i32 {
    let chosen = spread.max_places.is_some_and(|most| used(places, replicas) >= most);
    let compared = places.values().filter(|place| replicas(place) > 0 || (place.open && !chosen));
    compared.map(replicas).min().unwrap_or_default()
}

/// Upper bounds may have been passed before (the spec changed), but no decision adds to it.
fn bounds(spread: &Spread, changes: &[Change<'_>]) -> Vec<String> {
    let places = tallies(spread, changes);
    // What stays because no other cluster can take it does so last, when the others have all of theirs.
    let least = least(spread, &places, |place| place.sound).max(least(spread, &places, |place| place.after));
    let mut broken = Vec::new();
    for (name, Tally { before, after, .. }) in &places {
        if spread.max_replicas.is_some_and(|most| *after > most && after > before) {
            broken.push(format!("{name} goes from {before} to {after} replicas: {spread:?}"));
        }
        if spread.max_skew.is_some_and(|most| after - least > most && after > before) {
            broken.push(format!("{name} goes from {before} to {after}, and the least has {least}: {spread:?}"));
        }
    }
    let (before, after) = (used(&places, |place| place.before), used(&places, |place| place.after));
    if spread.max_places.is_some_and(|most| after > most && after > before) {
        broken.push(format!("{after} places are used, {before} were: {spread:?}"));
    }
    broken
}

/// Where replicas have no place, no cluster may take one more.
fn idle_room(snapshot: &Snapshot, changes: &[Change<'_>]) -> Vec<String> {
    let placement = &snapshot.request.placement;
    if placement.gang.is_some() {
        return vec![];
    }
    let takes = |change: &&Change<'_>| {
        let room = change.candidate.room.replicas.max(0).saturating_add(change.candidate.held.in_force().into());
        *change.verdict == Verdict::Eligible && room > i64::from(change.desired)
    };
    let permitted = |change: &&Change<'_>| placement.spread.iter().all(|spread| permits(spread, changes, change));
    changes
        .iter()
        .filter(takes)
        .filter(permitted)
        .map(|change| format!("{} could take one more than {}", change.candidate.name, change.desired))
        .collect()
}

fn permits(spread: &Spread, changes: &[Change<'_>], change: &Change<'_>) -> bool {
    let places = tallies(spread, changes);
    let here = places[place(spread.by, change.candidate)].sound;
    spread.max_replicas.is_none_or(|most| here < most)
        && spread.max_skew.is_none_or(|most| here < least(spread, &places, |place| place.sound) + most)
        && spread.max_places.is_none_or(|most| here > 0 || used(&places, |place| place.sound) < most)
}
