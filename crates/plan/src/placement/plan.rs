//! The plan: what is decided for each cluster, and why, for the status and for a person.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};
use skyfleet_api::conditions::whole_seconds;
use skyfleet_api::model_deployment::{Displaced, MovePolicy, RebalanceStatus};

use super::board::{Board, Seat};
use super::exclusion::Exclusion;
use super::filter::{Verdict, steady_from};
use super::moves::{Rebalanced, Returned};
use super::score::Scale;
use super::snapshot::Snapshot;
use crate::failover::Patience;
use crate::failover::flapping::damped_until;

/// How soon room is looked for again while replicas have none: nodes are counted twice a minute.
const ROOM_INTERVAL: SignedDuration = SignedDuration::from_secs(30);

/// How soon it is looked whether clusters that are doubted were heard again.
const DOUBT_INTERVAL: SignedDuration = SignedDuration::from_secs(5);
/// Kubernetes keeps times in these.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Replicas decided for one cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The cluster's name.
    pub cluster: String,
    /// How many replicas it shall hold.
    pub desired: i32,
    /// How many it keeps beyond those until others serve in their place.
    pub retained: i32,
    /// Replicas that were made elsewhere for it.
    pub displaced: Option<Displaced>,
    /// Why, for a person.
    pub why: String,
}

/// Something worth an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum News {
    /// Replicas of a cluster are made elsewhere.
    FailedOver(String),
    /// They go back.
    FailedBack(String),
    /// Replicas move to a better place.
    Rebalanced(String),
}

/// Where the replicas of one ModelDeployment shall run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Every cluster that holds or shall hold replicas, by name.
    pub assignments: Vec<Assignment>,
    /// Replicas that no cluster may take.
    pub unplaced: i32,
    /// The verdict on every cluster, by name.
    pub verdicts: BTreeMap<String, Verdict>,
    /// Wishes that could not be met, in words.
    pub unmet: Vec<String>,
    /// Why the hub suspects itself, where it does.
    pub suspicion: Option<String>,
    /// By which strategy and signal replicas were shared out.
    pub strategy: String,
    /// What was moved to better places, where that is asked for.
    pub rebalanced: Option<RebalanceStatus>,
    /// What is worth an event.
    pub news: Vec<News>,
    /// When time alone may change the plan.
    pub look_again: Option<Timestamp>,
}

impl Plan {
    /// What is decided for a cluster.
    #[must_use]
    pub fn assignment(&self, cluster: &str) -> Option<&Assignment> {
        self.assignments.iter().find(|assignment| assignment.cluster == cluster)
    }

    /// Replicas by cluster that run or shall run, those that are kept for now included.
    #[must_use]
    pub fn in_force(&self) -> BTreeMap<String, i32> {
        let in_force = |of: &Assignment| (of.cluster.clone(), of.desired + of.retained);
        self.assignments.iter().map(in_force).filter(|(_, replicas)| *replicas > 0).collect()
    }
}

/// What the steps of the pipeline found, beside the board.
pub(super) struct Outcome {
    pub(super) asked: i32,
    pub(super) wanted: i32,
    pub(super) retained: Vec<i32>,
    /// Replicas that are made elsewhere now because a cluster was lost or they don't serve there, by seat.
    pub(super) made: Vec<i32>,
    pub(super) returned: Returned,
    pub(super) rebalanced: Rebalanced,
}

impl Outcome {
    fn returned(&self, seat: usize) -> i32 {
        self.returned.get(&seat).copied().unwrap_or_default()
    }
}

pub(super) fn plan(snapshot: &Snapshot, board: &Board<'_>, scale: &Scale, outcome: Outcome) -> Plan {
    let mut plan = Plan {
        unplaced: outcome.asked - board.total(),
        unmet: board.unmet(),
        strategy: scale.to_string(),
        ..Plan::default()
    };
    if outcome.asked > outcome.wanted {
        let rest = outcome.asked - outcome.wanted;
        plan.unmet.push(format!("{rest} replicas fill no group of {}", board.group));
    }
    for (index, seat) in board.seats.iter().enumerate() {
        let assignment = assignment(snapshot, seat, index, scale, &outcome, &mut plan.news);
        let held = seat.candidate.held.in_force() > 0 || assignment.displaced.is_some();
        if assignment.desired > 0 || assignment.retained > 0 || held {
            plan.assignments.push(assignment);
        }
        plan.verdicts.insert(seat.candidate.name.clone(), seat.standing.verdict.clone());
        let suspected = seat.standing.suspicion.map(|suspicion| suspicion.to_string());
        plan.suspicion = plan.suspicion.or(suspected);
    }
    if let Some(status) =
        outcome.rebalanced.status.as_ref().filter(|s| Some(*s) != snapshot.request.rebalanced.as_ref())
    {
        plan.news.push(News::Rebalanced(status.last.clone()));
    }
    plan.look_again = look_again(snapshot, board, &plan, outcome.rebalanced.look_again);
    plan.rebalanced = outcome.rebalanced.status;
    plan
}

fn assignment(
    snapshot: &Snapshot,
    seat: &Seat<'_>,
    index: usize,
    scale: &Scale,
    outcome: &Outcome,
    news: &mut Vec<News>,
) -> Assignment {
    let cluster = seat.candidate.name.clone();
    let desired = seat.share;
    let retained = outcome.retained[index];
    let (made, returned) = (outcome.made[index], outcome.returned(index));
    let displaced = displaced(snapshot, seat, index, outcome);
    if let (Some(exclusion), true) = (seat.standing.verdict.exclusion(), made > 0) {
        news.push(News::FailedOver(format!("{made} of {cluster}'s replicas are made elsewhere: {exclusion}")));
    }
    if returned > 0 {
        news.push(News::FailedBack(format!("{cluster} is back, and gets back {returned} of its replicas")));
    }
    let mut why = why(seat, desired, scale);
    if retained > 0 {
        why = format!("{why}; keeps {retained} more until others serve in their place");
    }
    Assignment { cluster, desired, retained, displaced, why }
}

/// What the cluster is still owed, less what it gets back now. It is forgotten when the cluster proved steady and nothing goes
/// back by itself, and when replicas must not be there any more. No cluster is owed what others don't have.
fn displaced(snapshot: &Snapshot, seat: &Seat<'_>, index: usize, outcome: &Outcome) -> Option<Displaced> {
    let (made, returned) = (outcome.made[index], outcome.returned(index));
    let earlier = seat.candidate.held.displaced.clone();
    let others = outcome.wanted - seat.share;
    if made > 0 {
        let replicas = (earlier.map_or(0, |earlier| earlier.replicas) + made).min(others);
        return Some(Displaced { replicas, since: Time(whole_seconds(snapshot.now)) });
    }
    let failback = &snapshot.request.failover.failback;
    let steady = |earlier: &Displaced| {
        let after = SignedDuration::from_secs(failback.after_seconds.into());
        let contact = &seat.candidate.contact;
        contact.is_usable() && snapshot.now >= steady_from(contact, earlier, after)
    };
    let forgotten = |earlier: &Displaced| match &seat.standing.verdict {
        Verdict::GivesUp(Exclusion::Lost { .. } | Exclusion::NotServing { .. }) => false,
        Verdict::GivesUp(_) => true,
        _ => failback.policy == MovePolicy::Never && steady(earlier),
    };
    let owed = earlier.filter(|earlier| !forgotten(earlier))?;
    let replicas = (owed.replicas - returned).min(others);
    (replicas > 0).then_some(Displaced { replicas, ..owed })
}

fn why(seat: &Seat<'_>, desired: i32, scale: &Scale) -> String {
    match &seat.standing.verdict {
        Verdict::Eligible if desired == 0 && seat.candidate.held.displaced.is_some() => {
            "its replicas were made elsewhere; they go back once it has proved steady".to_owned()
        }
        Verdict::Eligible if desired == 0 => "fewer replicas are wanted here".to_owned(),
        // A full cluster is as it should be; the number of what it lacks would be news at every look.
        Verdict::Eligible | Verdict::Keeps(Exclusion::NoRoom(_)) => scale.to_string(),
        Verdict::Keeps(exclusion) => format!("keeps what it has and takes no more: {exclusion}"),
        Verdict::GivesUp(exclusion) if desired > 0 => format!("{exclusion}, and no other cluster has room"),
        Verdict::GivesUp(exclusion) => format!("gives up what it has: {exclusion}"),
    }
}

/// The first moment at which time alone may change the plan.
fn look_again(snapshot: &Snapshot, board: &Board<'_>, plan: &Plan, rebalance: Option<Timestamp>) -> Option<Timestamp> {
    let patience = Patience::from(&snapshot.request.failover);
    let grace_ends = |seat: &Seat<'_>| match seat.standing.verdict.exclusion() {
        Some(Exclusion::Unreachable { until, .. }) if seat.candidate.held.in_force() > 0 => *until,
        _ => None,
    };
    let patience_ends =
        |seat: &Seat<'_>| seat.candidate.held.shortfall.as_ref().map(|shortfall| patience.ends(shortfall));
    // A damped cluster comes after others: once it is not, what has no place, or is owed, may find one.
    let is_awaited = plan.unplaced > 0 || plan.assignments.iter().any(|assignment| assignment.displaced.is_some());
    let damping_ends = |seat: &Seat<'_>| damped_until(&seat.candidate.contact, snapshot.now).filter(|_| is_awaited);
    let steady =
        |seat: &Seat<'_>| plan.assignment(&seat.candidate.name).and_then(|of| proves_steady(snapshot, seat, of));
    let times =
        board.seats.iter().flat_map(|seat| [grace_ends(seat), patience_ends(seat), damping_ends(seat), steady(seat)]);
    let room = (plan.unplaced > 0).then(|| snapshot.now + ROOM_INTERVAL);
    let doubts = board.seats.iter().any(|seat| seat.standing.suspicion.is_some_and(|suspicion| suspicion.doubted > 0));
    let doubts = doubts.then(|| snapshot.now + DOUBT_INTERVAL);
    times.chain([rebalance, room, doubts]).flatten().filter(|at| *at > snapshot.now).min()
}

/// When a cluster that is owed replicas has proved steady.
fn proves_steady(snapshot: &Snapshot, seat: &Seat<'_>, assignment: &Assignment) -> Option<Timestamp> {
    let displaced = assignment.displaced.as_ref().filter(|_| seat.candidate.contact.is_usable())?;
    let after = SignedDuration::from_secs(snapshot.request.failover.failback.after_seconds.into());
    let at = steady_from(&seat.candidate.contact, displaced, after);
    // What is owed only now is looked at only by the next plan.
    let is_new = seat.candidate.held.displaced.as_ref() != Some(displaced);
    if is_new { Some(at.max(snapshot.now + SECOND)) } else { Some(at) }
}
