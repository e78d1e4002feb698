//! Which member cluster gets how many replicas: snapshot → filter → score → select → assign, with a verdict on every cluster.
//!
//! What holds for every plan:
//! * the same snapshot gives the same plan, whatever the order of the clusters;
//! * no cluster is given more than it has room for, and no upper bound is passed;
//! * nothing moves that need not: more replicas only add, fewer only remove, a new cluster moves nothing;
//! * what a cluster gives up it keeps until others serve in its place ([`Assignment::retained`]);
//! * silence is not absence: what a cluster that cannot be reached holds is left, and after the grace period made elsewhere as
//!   well, unless so many fell silent together that the hub suspects itself.
//!
//! Files, in the order of the pipeline: `snapshot` (what is known), `filter` and `exclusion` (verdicts), `board` (who has how
//! many, within which bounds), `score` (ranks by strategy), `assign` and `improve` (select and assign), `moves` (failback, rebalancing),
//! `transition` (load before drain).

mod assign;
mod board;
mod exclusion;
mod filter;
mod improve;
mod moves;
mod plan;
mod score;
mod snapshot;
mod transition;

pub use exclusion::Exclusion;
pub use filter::Verdict;
pub use plan::{Assignment, News, Plan};
pub use snapshot::{Candidate, Data, Held, Request, Snapshot};

use kube::core::ParseExpressionError;

use board::{Board, Seat};
use exclusion::Exclusion::{Lost, NotServing};
use filter::standings;
use score::Scale;

/// Decides where the replicas of a ModelDeployment shall run. A cluster that holds replicas and is no candidate any more has
/// left the fleet: nobody can change anything there, so it no longer counts.
///
/// # Errors
/// The cluster selector is not one: an operator that does not exist, or values where there must be none.
pub fn place(snapshot: &Snapshot) -> Result<Plan, ParseExpressionError> {
    let standings = standings(snapshot)?;
    let mut board = Board::new(snapshot, &standings);
    let scale = Scale::new(snapshot, &board);
    let placement = &snapshot.request.placement;
    let asked = snapshot.request.replicas.max(0);
    let wanted = asked - asked % board.group;
    let together = placement.gang.as_ref().is_some_and(|gang| gang.all_or_nothing);
    let mut returned = moves::take_back_surge(&mut board, snapshot);
    let missing = wanted - board.total();
    let mut made = vec![0; board.seats.len()];
    if missing > 0 {
        let before = board.clone();
        assign::give_out(&mut board, &scale, placement.strategy, missing);
        if together && board.total() < wanted {
            board = before;
        }
        let given = missing - (wanted - board.total());
        leave_where_no_other_can(&mut board, wanted);
        made = made_elsewhere(&board, given);
    } else {
        assign::take_back(&mut board, &scale, -missing, None);
    }
    let left_behind = |seat: &Seat<'_>| is_lost_or_faulty(seat) && seat.share > seat.counted;
    let waits = together && board.total() < wanted;
    if !waits && !board.seats.iter().any(left_behind) {
        moves::fail_back(&mut board, &scale, snapshot, &mut returned);
    }
    let settled = board.total() == wanted && returned.is_empty() && is_settled(&board);
    let rebalanced = moves::rebalance(&mut board, &scale, snapshot, settled);
    let retained = transition::retained(&board, wanted);
    Ok(plan::plan(snapshot, &board, &scale, plan::Outcome { asked, wanted, retained, made, returned, rebalanced }))
}

/// What is made elsewhere because of a loss or a fault stays decided where it is as far as no other cluster can take it: given
/// up, it would be gone from the books and served by nobody.
fn leave_where_no_other_can(board: &mut Board<'_>, wanted: i32) {
    for seat in 0..board.seats.len() {
        let left = wanted - board.total();
        if left > 0 && is_lost_or_faulty(&board.seats[seat]) {
            let most = left.min(board.seats[seat].candidate.held.desired - board.seats[seat].share);
            let back = (1..=most).rev().find(|back| board.may_stay(seat, *back));
            board.give(seat, back.unwrap_or_default());
        }
    }
}

/// How many replicas of each cluster are made elsewhere because of a loss or a fault, of those that were just given out: what
/// went because fewer are wanted is owed to nobody.
fn made_elsewhere(board: &Board<'_>, given: i32) -> Vec<i32> {
    let mut given = given;
    let made = |seat: &Seat<'_>| {
        let gone = if is_lost_or_faulty(seat) { seat.candidate.held.desired - seat.share } else { 0 };
        let made = gone.clamp(0, given);
        given -= made;
        made
    };
    board.seats.iter().map(made).collect()
}

fn is_lost_or_faulty(seat: &Seat<'_>) -> bool {
    matches!(seat.standing.verdict.exclusion(), Some(Lost { .. } | NotServing { .. }))
}

/// Nothing is under way: every replica is where it was decided to be, and serves.
fn is_settled(board: &Board<'_>) -> bool {
    board.seats.iter().all(|seat| {
        let held = &seat.candidate.held;
        let still = seat.share == held.desired && held.retained == 0 && held.shortfall.is_none();
        let heard = held.in_force() == 0 || seat.candidate.contact.is_usable();
        still && heard && seat.standing.suspicion.is_none()
    })
}

#[cfg(test)]
mod tests;
