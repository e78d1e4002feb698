//! Shares replicas out: one step at a time to the cluster that ranks best, or from the one that ranks worst, within the
//! bounds. Where bounds make one choice spoil another, subsets of places are compared and single replicas exchanged.

use std::cmp::Ordering;

use skyfleet_api::model_deployment::{ShortfallCause, Strategy};

use super::board::{Board, Choice};
use super::exclusion::Exclusion;
use super::filter::Verdict;
use super::score::{Rank, Scale};

/// Subsets of places that are compared at most.
const SUBSETS: usize = 300;
/// Exchanges of single replicas that are tried at most: a bound on the time a decision takes.
const EXCHANGES: usize = 64;
/// Fleets up to this size are looked through for exchanges.
const SMALL_FLEET: usize = 48;

/// Gives out `missing` more replicas, as far as there is room; what is left over is missing from the board's total.
pub(super) fn give_out(board: &mut Board<'_>, scale: &Scale, strategy: Strategy, missing: i32) {
    let before = board.clone();
    fill(board, scale, missing);
    if let Some(choice) = before.choice() {
        for chosen in subsets(&choice, board) {
            let mut other = before.clone();
            other.close_others(choice.kind, &chosen);
            fill(&mut other, scale, missing);
            if compare_quality(&quality(&other, scale), &quality(board, scale)) == Ordering::Less {
                *board = other;
            }
        }
    }
    let small = board.seats.len() <= SMALL_FLEET;
    if small && (board.is_bounded() || strategy == Strategy::Binpack) {
        exchange(board, scale, missing);
    }
}

/// Takes `surplus` replicas back, as far as whole groups can go.
pub(super) fn take_back(board: &mut Board<'_>, scale: &Scale, surplus: i32, spared: Option<usize>) {
    let mut surplus = surplus;
    while surplus > 0 {
        let steps = (0..board.seats.len())
            .filter(|seat| Some(*seat) != spared && board.seats[*seat].share > 0 && board.step_down(*seat) <= surplus);
        let worst = steps.min_by(|a, b| leaves_before(board, scale, *a, *b));
        let Some(seat) = worst else { return };
        let step = board.step_down(seat);
        board.give(seat, -step);
        surplus -= step;
    }
}

fn fill(board: &mut Board<'_>, scale: &Scale, missing: i32) {
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

/// How good a board is: replicas placed, lower bounds not kept, the objective.
type Quality = (i32, usize, Rank);

fn quality(board: &Board<'_>, scale: &Scale) -> Quality {
    (-board.total(), board.unmet().len(), scale.objective(board))
}

/// Less is better.
fn compare_quality(a: &Quality, b: &Quality) -> Ordering {
    (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| compare(&a.2, &b.2))
}

pub(super) fn compare(a: &Rank, b: &Rank) -> Ordering {
    let pairs = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
    pairs.fold(Ordering::Equal, Ordering::then)
}

/// Subsets of places of the size allowed: all of them where there are few, else those of the places with most room and those
/// that were taken first.
fn subsets(choice: &Choice, filled: &Board<'_>) -> Vec<Vec<usize>> {
    let Choice { kind, most, open } = choice;
    let size = usize::try_from(*most).unwrap_or_default().min(open.len());
    let mut order: Vec<(usize, i64)> = open.clone();
    let taken = |place: usize| filled.seats.iter().any(|seat| seat.place(*kind) == place && seat.share > seat.counted);
    order.sort_by_key(|(place, room)| (!taken(*place), std::cmp::Reverse(*room)));
    let mut pool = order.len();
    while pool > size && combinations(pool, size) > SUBSETS {
        pool -= 1;
    }
    let pool: Vec<usize> = order.iter().take(pool).map(|(place, _)| *place).collect();
    let mut all = choose(&pool, size);
    let mut roomiest = open.clone();
    roomiest.sort_by_key(|(place, room)| (std::cmp::Reverse(*room), *place));
    all.push(roomiest.into_iter().take(size).map(|(place, _)| place).collect());
    all
}

fn combinations(of: usize, size: usize) -> usize {
    (0..size)
        .try_fold(1_usize, |all, index| all.checked_mul(of - index).map(|all| all / (index + 1)))
        .unwrap_or(usize::MAX)
}

fn choose(pool: &[usize], size: usize) -> Vec<Vec<usize>> {
    if size == 0 {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for (index, first) in pool.iter().enumerate() {
        for mut rest in choose(&pool[index + 1..], size - 1) {
            rest.insert(0, *first);
            all.push(rest);
        }
    }
    all
}

/// Moves single steps of what was just given out to where they are better, and fills up what that makes room for.
fn exchange(board: &mut Board<'_>, scale: &Scale, missing: i32) {
    let wanted = board.seats.iter().map(|seat| seat.counted).sum::<i32>() + missing;
    for _ in 0..EXCHANGES {
        let Some((from, to, step)) = best_exchange(board, scale) else { break };
        board.give(from, -step);
        board.give(to, step);
    }
    let left = wanted - board.total();
    fill(board, scale, left);
}

/// The exchange that improves the board most: from, to, how many.
fn best_exchange(board: &mut Board<'_>, scale: &Scale) -> Option<(usize, usize, i32)> {
    let given = |board: &Board<'_>, seat: usize| board.seats[seat].share - board.seats[seat].counted;
    let mut best_quality = quality(board, scale);
    let mut best = None;
    let skew = board.excess_skew();
    for from in 0..board.seats.len() {
        let step = board.step_down(from);
        if given(board, from) < step {
            continue;
        }
        board.give(from, -step);
        for to in (0..board.seats.len()).filter(|to| *to != from) {
            if board.step_up(to) > step || !board.permits(to, step) {
                continue;
            }
            board.give(to, step);
            let quality = quality(board, scale);
            if board.excess_skew() <= skew && compare_quality(&quality, &best_quality) == Ordering::Less {
                (best, best_quality) = (Some((from, to, step)), quality);
            }
            board.give(to, -step);
        }
        board.give(from, step);
    }
    best
}
