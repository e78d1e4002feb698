//! Work that is shared out: what a pass leaves to others, cut into ranges of keys, and those who do it.
//!
//! All that they know of each other lies in one bucket, that of a target, below `.skyfleet/work/`:
//!
//! - `plan.json` says which work there is, and whether it goes on: it is the work of one pass.
//! - `ID/units.json` are its ranges.
//! - `ID/claims/UNIT.json` says who is at a range, and beats as long as that goes on. One that has stopped beating may be taken over.
//! - `ID/done/UNIT.json` says that a range was gone through.
//! - `ID/proofs/…`, in the bucket of each target, is what was copied and proven there (see [`crate::mirror_range`]).
//!
//! So workers need no right but that to the buckets. Two of them at one range do no harm: what each copies is proven, and conditions
//! keep it from overwriting what the other wrote.

mod board;
mod ledger;
mod plan;
mod worker;

pub use ledger::{Claim, Ledger, WorkProgress};
pub use plan::{Cutter, WorkPlan, WorkUnit};
pub use worker::{WorkError, WorkOutcome, WorkerId, work};

use std::time::Duration;

/// How long workers wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkPace {
    /// Between two beats of a claim.
    pub beat: Duration,
    /// A worker that could not say for so long that it goes on stops by itself.
    pub self_fence: Duration,
    /// A claim that has not beaten for so long is nobody's. Longer than the two others together.
    pub stale: Duration,
}

impl Default for WorkPace {
    fn default() -> Self {
        Self { beat: Duration::from_secs(10), self_fence: Duration::from_secs(30), stale: Duration::from_secs(45) }
    }
}

/// After so long nobody works any more on what was closed, reachable or not.
pub const FENCE: Duration = Duration::from_mins(1);
