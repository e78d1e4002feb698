//! Makes what lies below a prefix of a bucket the same in others, with no list of it in memory.

mod judge;
mod listing;
mod remove;
mod round;
mod rows;
mod target;
mod types;

use tokio_util::sync::CancellationToken;

use crate::egress::Spending;
use crate::overlap::overlapping;
use crate::{MirrorError, Replica};

use round::{Ended, Round};
use target::Target;
pub use types::{
    Bounds, Deletion, SyncEvent, SyncOptions, SyncProgress, SyncReport, SyncTarget, TagsUnread, TargetError,
};

/// Brings every target up to date with the source, once.
///
/// Source and targets are listed side by side. An object is copied where sizes, contents or times differ (see `judge`), read
/// once for all targets that need it, and proven at each. What listings cannot tell apart, such as copies at another
/// provider, is remembered in an object below `.skyfleet/` of the target; a pass that finds nothing to do writes nothing.
///
/// What it guarantees:
/// - Objects are removed only where that is asked for, and only when the listings of source and target have both ended whole,
///   every object of the source could be read, and each one is, at that moment, still not at the source.
/// - A target that fails, fails alone; a failed page of a listing is never the end of it.
/// - What another writes to a target after it was listed is not overwritten, where the target's store knows conditions: the object
///   fails there.
/// - Keys below `.skyfleet/` are neither copied nor removed.
/// - Memory: see [`crate::TransferLimits`], and about 200 bytes for each object that has to be remembered.
///
/// What it assumes: one pass at a time writes to a target, and nobody else writes below its prefix.
///
/// # Errors
/// When the source cannot be listed, two of the copies overlap, or on cancellation. What fails at a target is in the report.
pub async fn sync(
    source: &Replica,
    targets: &[Replica],
    options: &SyncOptions,
    cancel: &CancellationToken,
    progress: SyncProgress,
) -> Result<SyncReport, MirrorError> {
    if let Some((one, other)) = overlapping(source, targets) {
        return Err(MirrorError::Overlap(one, other));
    }
    let mut sorted = vec![false; targets.len() + 1];
    let mut spending = Spending::new(options.source_limits.egress);
    loop {
        let mut looked_at = Vec::with_capacity(targets.len());
        for replica in targets {
            looked_at.push(Target::look(replica.clone(), source, cancel).await);
        }
        let round = Round::new(source.clone(), looked_at, options, &mut spending, cancel.clone(), progress.clone());
        match round.run(&sorted).await? {
            Ended::Whole(report) => return Ok(report),
            // What was copied by now is found settled; nothing was removed.
            Ended::Unordered(side) => {
                sorted[side] = true;
                if options.dry_run {
                    spending = Spending::new(options.source_limits.egress);
                }
            }
        }
    }
}
