//! Where bounds make one choice spoil another, or a strategy looks at the whole, subsets of places are compared, and what was
//! given out is exchanged and given out anew.

use std::cmp::{Ordering, Reverse};

use super::assign::fill;
use super::board::{Board, Choice};
use super::score::{Rank, Scale, compare};

/// Ways that are compared at most; each is gone once for every cluster and replica. A bound on the time a decision takes.
const WAYS: usize = 300;
/// Rounds of improvement.
const ROUNDS: usize = 64;
/// Fleets up to this size are looked through for improvements.
const SMALL_FLEET: usize = 48;

/// How good a board is: replicas placed, how far lower bounds are missed, the objective.
type Quality = (i32, i32, Rank);

fn quality(board: &Board<'_>, scale: &Scale) -> Quality {
    (-board.total(), board.floors_missed(), scale.objective(board))
}

fn is_better(a: &Quality, b: &Quality) -> bool {
    (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| compare(&a.2, &b.2)) == Ordering::Less
}

/// Gives out `missing` replicas. Where only so many places may be used, the best choice of places is taken.
pub(super) fn choose_places(board: &mut Board<'_>, scale: &Scale, missing: i32) {
    // The time of each grows with the fleet.
    let share = |ways: usize| ways * SMALL_FLEET / board.seats.len().max(SMALL_FLEET);
    let ways = share(share(WAYS));
    choose_among(board, scale, missing, ways);
}

fn choose_among(board: &mut Board<'_>, scale: &Scale, missing: i32, ways: usize) {
    let before = board.clone();
    fill(board, scale, missing);
    let Some(choice) = before.choice() else { return };
    let subsets = subsets(&choice, board, ways);
    let ways = ways / subsets.len();
    for chosen in subsets {
        let mut other = before.clone();
        other.close_others(choice.kind, &chosen);
        if ways > 1 {
            choose_among(&mut other, scale, missing, ways);
        } else {
            fill(&mut other, scale, missing);
        }
        if is_better(&quality(&other, scale), &quality(board, scale)) {
            *board = other;
        }
    }
}

/// Subsets of places of the size allowed: all of them where there are few, else those of the places with most room and those
/// that were taken first.
fn subsets(choice: &Choice, filled: &Board<'_>, ways: usize) -> Vec<Vec<usize>> {
    let Choice { kind, most, open } = choice;
    let size = usize::try_from(*most).unwrap_or_default().min(open.len());
    let mut order: Vec<(usize, i64)> = open.clone();
    let taken = |place: usize| filled.seats.iter().any(|seat| seat.place(*kind) == place && seat.share > seat.counted);
    order.sort_by_key(|(place, room)| (!taken(*place), Reverse(*room)));
    let mut pool = order.len();
    while pool > size && combinations(pool, size) > ways {
        pool -= 1;
    }
    let pool: Vec<usize> = order.iter().take(pool).map(|(place, _)| *place).collect();
    let mut all = choose(&pool, size);
    let mut roomiest = open.clone();
    roomiest.sort_by_key(|(place, room)| (Reverse(*room), *place));
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

/// Moves single steps of what was just given out to where they are better, and gives what one cluster got to others, as long
/// as anything is better for it.
pub(super) fn improve(board: &mut Board<'_>, scale: &Scale, missing: i32) {
    if board.seats.len() > SMALL_FLEET {
        return;
    }
    let wanted = board.seats.iter().map(|seat| seat.counted).sum::<i32>() + missing;
    for _ in 0..ROUNDS {
        if let Some((from, to, step)) = best_exchange(board, scale) {
            board.give(from, -step);
            board.give(to, step);
        } else if !give_pair(board, wanted) && !give_anew(board, scale, wanted) {
            return;
        }
        let left = wanted - board.total();
        fill(board, scale, left);
    }
}

/// The exchange that improves the board most: from, to, how many.
fn best_exchange(board: &mut Board<'_>, scale: &Scale) -> Option<(usize, usize, i32)> {
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
            if board.step_up(to) != step || !board.permits(to, step) {
                continue;
            }
            board.give(to, step);
            let quality = quality(board, scale);
            if board.excess_skew() <= skew && is_better(&quality, &best_quality) {
                (best, best_quality) = (Some((from, to, step)), quality);
            }
            board.give(to, -step);
        }
        board.give(from, step);
    }
    best
}

/// Gives steps to two clusters at once, where the skew allows none of them alone.
fn give_pair(board: &mut Board<'_>, wanted: i32) -> bool {
    let left = wanted - board.total();
    for a in 0..board.seats.len() {
        let first = board.step_up(a);
        if first >= left || !board.permits_but_skew(a, first) {
            continue;
        }
        board.give(a, first);
        for b in 0..board.seats.len() {
            let second = board.step_up(b);
            if b == a || first + second > left || !board.permits(b, second) {
                continue;
            }
            board.give(b, second);
            if board.permits_skew(a, 0) && board.permits_skew(b, 0) {
                return true;
            }
            board.give(b, -second);
        }
        board.give(a, -first);
    }
    false
}

/// Takes from one cluster all that it was given and gives that to others, where that is better.
fn give_anew(board: &mut Board<'_>, scale: &Scale, wanted: i32) -> bool {
    let skew = board.excess_skew();
    let before = quality(board, scale);
    for seat in 0..board.seats.len() {
        let given = given(board, seat);
        if given <= 0 {
            continue;
        }
        let mut other = board.clone();
        other.give(seat, -given);
        other.close(seat, true);
        let left = wanted - other.total();
        fill(&mut other, scale, left);
        other.close(seat, false);
        if other.excess_skew() <= skew && is_better(&quality(&other, scale), &before) {
            *board = other;
            return true;
        }
    }
    false
}

fn given(board: &Board<'_>, seat: usize) -> i32 {
    board.seats[seat].share - board.seats[seat].counted
}
