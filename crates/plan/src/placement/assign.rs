//! Shares replicas out: one step at a time to the cluster that ranks best, or from the one that ranks worst, within the
//! bounds. `improve` looks whether another choice would have been better.

use std::cmp::Ordering;

use skyfleet_api::model_deployment::{ShortfallCause, Strategy};

use super::board::Board;
use super::exclusion::Exclusion;
use super::filter::Verdict;
use super::improve::{choose_places, improve};
use super::score::{Rank, Scale, compare};

/// Gives out `missing` more replicas, as far as there is room; what is left over is missing from the board's total.
pub(super) fn give_out(board: &mut Board<'_>, scale: &Scale, strategy: Strategy, missing: i32) {
    choose_places(board, scale, missing);
    if board.is_bounded() || matches!(strategy, Strategy::Binpack | Strategy::Spread) {
        improve(board, scale, missing);
    }
}

/// Takes `surplus` replicas back. Where only groups are left that are larger, one of the smallest goes: more than is asked
/// for never stays.
pub(super) fn take_back(board: &mut Board<'_>, scale: &Scale, surplus: i32, spared: Option<usize>) {
    let mut surplus = surplus;
    while surplus > 0 {
        let having = |seat: &usize| Some(*seat) != spared && board.seats[*seat].share > 0;
        let smallest = (0..board.seats.len()).filter(having).map(|seat| board.step_down(seat)).min();
        let largest = smallest.map_or(surplus, |smallest| smallest.max(surplus));
        let steps = (0..board.seats.len()).filter(having).filter(|seat| board.step_down(*seat) <= largest);
        let worst = steps.min_by(|a, b| leaves_before(board, scale, *a, *b));
        let Some(seat) = worst else { return };
        let step = board.step_down(seat);
        board.give(seat, -step);
        surplus -= step;
    }
}

/// Gives out step by step, each to the cluster that helps the lower bounds most and then ranks best.
pub(super) fn fill(board: &mut Board<'_>, scale: &Scale, missing: i32) {
    let mut missing = missing;
    while missing > 0 {
        let mut best: Option<(i32, Rank, usize)> = None;
        for seat in 0..board.seats.len() {
            let step = board.step_up(seat);
            if step > missing || !board.permits(seat, step) {
                continue;
            }
            let (floors, rank) = (-board.floors_helped(seat), scale.next(board, seat));
            let is_better = best.as_ref().is_none_or(|(least, lowest, _)| {
                floors.cmp(least).then_with(|| compare(&rank, lowest)) == Ordering::Less
            });
            if is_better {
                best = Some((floors, rank, seat));
            }
        }
        let Some((_, _, seat)) = best else { return };
        let step = board.step_up(seat);
        board.give(seat, step);
        missing -= step;
    }
}

/// Which of two clusters gives a replica up first: one where it takes effect now; where no bound is broken; where replicas
/// have failed; that would take no new one; that ranks worst; the last by name, the mirror image of how they were given.
fn leaves_before(board: &Board<'_>, scale: &Scale, a: usize, b: usize) -> Ordering {
    let key = |seat: usize| {
        let place = &board.seats[seat];
        let held = &place.candidate.held;
        let failing = held.shortfall.as_ref().is_some_and(|shortfall| shortfall.cause == ShortfallCause::Failing)
            && place.share > held.serving();
        (
            !place.candidate.contact.is_usable(),
            board.floors_broken(seat, board.step_down(seat)),
            !failing,
            !is_unwelcome(&place.standing.verdict),
        )
    };
    key(a)
        .cmp(&key(b))
        .then_with(|| compare(&scale.last(board, b), &scale.last(board, a)))
        .then_with(|| board.seats[b].candidate.name.cmp(&board.seats[a].candidate.name))
}

/// Clusters that had better have none, though they may keep what they have.
fn is_unwelcome(verdict: &Verdict) -> bool {
    matches!(
        verdict.exclusion(),
        Some(Exclusion::Tainted(_) | Exclusion::Weightless | Exclusion::NoBucketNear | Exclusion::DataFailed(_))
    )
}
