//! Load before drain: what a cluster gives up it keeps until others serve in its place.

use super::board::{Board, Seat};
use super::exclusion::Exclusion;
use super::filter::Verdict;

/// Replicas that each cluster keeps beyond its share for now, in the order of the board. As many replicas as are wanted serve
/// at every moment, as far as so many served before: what is known to serve may fall by what is more than wanted, and
/// replicas that don't serve go at once. What lies in a cluster that cannot be reached stays, whatever is wanted.
pub(super) fn retained(board: &Board<'_>, wanted: i32) -> Vec<i32> {
    // Only those that are to have none wait for places that may never be found. Where nobody must go, more than was placed is
    // more than the bounds allow.
    let goes = |seat: &Seat<'_>| {
        matches!(seat.standing.verdict, Verdict::GivesUp(_)) && seat.candidate.held.in_force() > seat.share
    };
    let wanted = if board.seats.iter().any(goes) { wanted } else { board.total() };
    let usable = |seat: usize| board.seats[seat].candidate.contact.is_usable();
    let serving = |seat: usize| board.seats[seat].candidate.held.serving();
    let seats = 0..board.seats.len();
    let mut spare = (seats.clone().filter(|seat| usable(*seat)).map(serving).sum::<i32>() - wanted).max(0);
    let mut retained: Vec<i32> =
        board.seats.iter().map(|seat| (seat.candidate.held.in_force() - seat.share).max(0)).collect();
    let mut order: Vec<usize> = seats.filter(|seat| usable(*seat) && retained[*seat] > 0).collect();
    order.sort_by_key(|seat| urgency(&board.seats[*seat].standing.verdict));
    for seat in order {
        let (in_force, surplus) = (board.seats[seat].candidate.held.in_force(), retained[seat]);
        let idle = in_force - serving(seat);
        let serving_that_go = (surplus - idle).clamp(0, spare);
        spare -= serving_that_go;
        retained[seat] = surplus - surplus.min(idle) - serving_that_go;
    }
    retained
}

/// Who gives up first: whoever is to have none at all.
fn urgency(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::GivesUp(Exclusion::Leaving | Exclusion::Residency { .. }) => 0,
        Verdict::GivesUp(_) => 1,
        Verdict::Keeps(_) | Verdict::Eligible => 2,
    }
}
