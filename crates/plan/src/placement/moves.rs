//! Moves of replicas that run: back to a cluster that was lost, and, where it is asked for, to where the strategy would have
//! them now. Each replica is replaced before it goes.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use skyfleet_api::conditions::whole_seconds;
use skyfleet_api::model_deployment::{MovePolicy, RebalanceStatus};

use super::assign::take_back;
use super::board::Board;
use super::exclusion::Exclusion;
use super::filter::{Verdict, steady_from};
use super::score::{Rank, Scale, compare};
use super::snapshot::Snapshot;
use crate::failover::flapping::damped_until;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// A move must be worth a tenth of what was measured: less is noise.
const WORTH_IT: f64 = 0.1;

/// Replicas that go back to the clusters they were made elsewhere for, by seat.
pub(super) type Returned = BTreeMap<usize, i32>;

/// A lost cluster is back, and its replicas serve while those that were made for them only load: the decision to make them
/// is taken back. Nothing is gained by having the serving ones go.
pub(super) fn take_back_surge(board: &mut Board<'_>, snapshot: &Snapshot) -> Returned {
    let mut returned = Returned::new();
    for seat in 0..board.seats.len() {
        let candidate = board.seats[seat].candidate;
        let Some(displaced) = &candidate.held.displaced else { continue };
        let steady = damped_until(&candidate.contact, snapshot.now).is_none();
        if board.seats[seat].standing.verdict.exclusion().is_some_and(|why| !matches!(why, Exclusion::NoRoom(_)))
            || !steady
        {
            continue;
        }
        let mut owed = displaced.replicas.min(candidate.held.serving() - board.seats[seat].share);
        while owed >= board.step_up(seat) {
            let step = board.step_up(seat);
            let loads = |other: &usize| {
                let place = &board.seats[*other];
                let idle = place.share - place.candidate.held.serving();
                *other != seat && place.candidate.contact.is_usable() && idle >= step && board.step_down(*other) == step
            };
            let Some(other) = (0..board.seats.len()).rev().find(loads) else { break };
            board.give(other, -step);
            if !board.may_stay(seat, step) {
                board.give(other, step);
                break;
            }
            board.give(seat, step);
            *returned.entry(seat).or_default() += step;
            owed -= step;
        }
    }
    // What is given out from here on comes on top.
    board.seats.iter_mut().for_each(|seat| seat.counted = seat.share);
    returned
}

/// Gives clusters that have proved steady back what was made elsewhere for them.
pub(super) fn fail_back(board: &mut Board<'_>, scale: &Scale, snapshot: &Snapshot, returned: &mut Returned) {
    let failback = &snapshot.request.failover.failback;
    let after = SignedDuration::from_secs(failback.after_seconds.into());
    if failback.policy == MovePolicy::Never {
        return;
    }
    for seat in 0..board.seats.len() {
        let candidate = board.seats[seat].candidate;
        let Some(displaced) = &candidate.held.displaced else { continue };
        let steady = snapshot.now >= steady_from(&candidate.contact, displaced, after);
        if board.seats[seat].standing.verdict != Verdict::Eligible || !steady {
            continue;
        }
        loop {
            let back = returned.get(&seat).copied().unwrap_or_default();
            let owed = displaced.replicas - back;
            let step = if owed > 0 { give_back(board, scale, seat, owed) } else { 0 };
            if step == 0 {
                break;
            }
            returned.insert(seat, back + step);
        }
    }
}

/// Moves one step to a cluster from where it is best missed; or, where only so many places may be used, all that another
/// cluster has, so that its place is free. Gives how many.
fn give_back(board: &mut Board<'_>, scale: &Scale, seat: usize, owed: i32) -> i32 {
    let before = board.clone();
    let step = board.step_up(seat);
    take_back(board, scale, step, Some(seat));
    if before.total() - board.total() == step && board.permits(seat, step) {
        board.give(seat, step);
        return step;
    }
    *board = before;
    for other in (0..board.seats.len()).rev().filter(|other| *other != seat) {
        let all = board.seats[other].share;
        if all == 0 || all > owed || all % board.group != step % board.group {
            continue;
        }
        board.give(other, -all);
        if board.permits(seat, all) {
            board.give(seat, all);
            return all;
        }
        board.give(other, all);
    }
    0
}

/// What a rebalancing pass did.
pub(super) struct Rebalanced {
    /// What is counted and reported; `None` when it is not asked for.
    pub(super) status: Option<RebalanceStatus>,
    /// When the budget is whole again, where it is what held moves back.
    pub(super) look_again: Option<Timestamp>,
}

/// Moves one step to where it is better by far, within the hour's budget.
pub(super) fn rebalance(board: &mut Board<'_>, scale: &Scale, snapshot: &Snapshot, settled: bool) -> Rebalanced {
    let earlier = snapshot.request.rebalanced.clone();
    let Some(wish) = &snapshot.request.placement.rebalance else {
        return Rebalanced { status: None, look_again: None };
    };
    if !settled {
        return Rebalanced { status: earlier, look_again: None };
    }
    let Some((from, to)) = best_move(board, scale) else { return Rebalanced { status: earlier, look_again: None } };
    let step = board.step_up(to);
    let current = earlier.clone().filter(|earlier| snapshot.now.duration_since(earlier.hour_started.0) < HOUR);
    let moved = current.as_ref().map_or(0, |current| current.moved);
    if moved + step > wish.max_replicas_per_hour {
        let again = current.map(|current| current.hour_started.0 + HOUR);
        return Rebalanced { status: earlier, look_again: again };
    }
    board.give(from, -step);
    board.give(to, step);
    let name = |seat: usize| &board.seats[seat].candidate.name;
    let status = RebalanceStatus {
        hour_started: current.map_or_else(|| Time(whole_seconds(snapshot.now)), |current| current.hour_started),
        moved: moved + step,
        last: format!("{step} from {} to {}: {scale}", name(from), name(to)),
    };
    Rebalanced { status: Some(status), look_again: None }
}

/// The move of one step that gains most, if any is worth it.
fn best_move(board: &mut Board<'_>, scale: &Scale) -> Option<(usize, usize)> {
    let mut best: Option<(Rank, usize, usize)> = None;
    let skew = board.excess_skew();
    for from in 0..board.seats.len() {
        let step = board.step_down(from);
        if board.seats[from].share < step || board.floors_broken(from, step) > 0 {
            continue;
        }
        let left = scale.last(board, from);
        board.give(from, -step);
        for to in (0..board.seats.len()).filter(|to| *to != from) {
            let steady = board.seats[to].candidate.held.displaced.is_none();
            if !steady || board.step_up(to) != step || !board.permits(to, step) {
                continue;
            }
            let found = scale.next(board, to);
            board.give(to, step);
            let bounded = board.excess_skew() <= skew;
            board.give(to, -step);
            let gain = [0, 1, 2, 3].map(|index| found[index] - left[index]);
            let is_best = best.as_ref().is_none_or(|(most, ..)| compare(&gain, most) == Ordering::Less);
            if bounded && is_worth_it(&left, &found, scale.is_measured()) && is_best {
                best = Some((gain, from, to));
            }
        }
        board.give(from, step);
    }
    best.map(|(_, from, to)| (from, to))
}

/// Whether the first number that differs falls, and by enough where it was measured.
fn is_worth_it(left: &Rank, found: &Rank, measured: bool) -> bool {
    let different = left.iter().zip(found).find(|(left, found)| (*left - *found).abs() > f64::EPSILON);
    different.is_some_and(|(left, found)| found < left && (!measured || *found <= left - left.abs() * WORTH_IT))
}
