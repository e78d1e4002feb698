//! Makes what lies below a prefix of a bucket the same in others, with no list of it in memory.

mod aside;
mod assign;
mod changed;
mod compare;
mod content;
mod failure;
mod hand_over;
mod judge;
mod keeping;
mod key_range;
mod listing;
mod manifests;
pub(crate) mod naming;
mod outcome;
mod overlap;
mod provenance;
mod publish;
mod range;
mod remove;
mod round;
mod rows;
mod slots;
pub(crate) mod surplus;
mod survey;
mod sweep;
mod target;
mod types;
pub(crate) mod versions;

use tokio_util::sync::CancellationToken;

use crate::state::{Asked, Book, TargetState};
use crate::{DatasetName, Replica, ShardBy};
use assign::Assignment;
use overlap::overlapping;

pub use changed::Changed;
pub use failure::{MirrorError, ObjectFailure};
use hand_over::Budget;
pub use hand_over::{HandOver, HandedOver};
pub use key_range::KeyRange;
pub use range::{InvalidPortion, Portion, forget_work, mirror_range};
use round::{Ended, Round};
use rows::Stopped;
use surplus::Surplus;
use survey::{Surveyed, survey};
use target::{Manner, Target};
pub use types::{
    Bounds, Dataset, Deletion, MirrorEvent, MirrorOptions, MirrorProgress, MirrorReport, SourcePublication, TagsUnread,
    TargetError, TargetReport, Transforming,
};

/// Brings every target up to date with the source, once.
///
/// Source and targets are listed side by side. An object is copied where sizes, contents or times differ (see `judge`), read
/// once for all targets that need it, and proven at each. What listings cannot tell apart, such as copies at another
/// provider, is remembered below `.skyfleet/` of the target; a pass that finds nothing to do writes nothing.
///
/// A [`Dataset`] is remembered whole, with the SHA-256 of each object: a target that holds all of it gets a manifest, which one
/// digest names, and beside it a [`crate::Provenance`], which tells where it came from.
///
/// Where versions of it are kept (see [`Retention`]), a content is put away before it is overwritten, removed, or no longer named by the
/// newest manifest: whatever a manifest that is there names can be [`fetch`](crate::fetch())ed, also while a pass writes.
///
/// With a transform, each object is read through it instead, and a target holds what came out. Whether that is so still is always
/// remembered: no listing tells it.
///
/// With a size of pieces, an object whose rows can be told apart is cut between them, and its pieces are split over the targets as any
/// objects are. All pieces are of the version that was listed: those of one that changed meanwhile fail, and nothing names the others.
///
/// What it guarantees:
/// - An object is read once however many targets need it (but those that were set aside), and never held whole in memory (see [`crate::TransferLimits`]).
/// - A target's manifest is published after every object of it was proven at that target, and after that was remembered.
/// - Objects are removed only where that is asked for, and only when the listings of source and target have both ended whole,
///   every object of the source could be read, and each one is, at that moment, still not at the source. One that another target
///   is to hold now goes when every target holds its part, and that one has it at that moment. A dataset's go last, once the
///   manifest without them is published.
/// - A target that is slower than [`MirrorOptions::patience`] allows slows only itself.
/// - A target that fails, fails alone; a failed page of a listing is never the end of it.
/// - What another writes to a target after it was listed is not overwritten, where the target's store knows conditions: the object
///   fails there.
/// - Keys below `.skyfleet/` are neither copied nor removed.
/// - Memory does not grow with the number of objects: see [`crate::TransferLimits`]; on top come two pages of each listing, and
///   some pages of 4,096 objects of what is remembered.
///
/// With [`MirrorOptions::hand_over`], what is beyond it is told and left to others, such as workers that each make a [`mirror_range`].
/// [`MirrorOptions::adopts`] takes over what they have proven: then it is found settled.
///
/// What it assumes: one pass at a time writes to a target, and nobody else writes below its prefix.
///
/// Drop it only when the process ends: stop it by `cancel`, which ends it soon, removes the parts of unfinished uploads that no
/// journal names, and keeps what is known of the copies.
///
/// # Errors
/// When the source cannot be listed, two of the copies overlap, the shards do not fit the targets, or on cancellation. What fails at
/// a target is in the report.
pub async fn mirror(
    source: &Replica,
    targets: &[Replica],
    options: &MirrorOptions,
    cancel: &CancellationToken,
    progress: MirrorProgress,
) -> Result<MirrorReport, MirrorError> {
    if let Some((one, other)) = overlapping(source, targets) {
        return Err(MirrorError::Overlap(one, other));
    }
    if let Some(sharding) = &options.sharding {
        sharding.check(targets.len(), options.transform().map(|transform| &**transform))?;
    }
    let by_what_they_hold = options.sharding.as_ref().filter(|sharding| sharding.by != ShardBy::Hash);
    let dataset: Option<&DatasetName> = options.dataset.as_ref().map(|dataset| &dataset.name);
    let is_made = options.transforming.is_some() || options.piece_size().is_some();
    let remembers_all = dataset.is_some() || by_what_they_hold.is_some() || is_made;
    let keeps_versions = dataset.is_some() && options.versions.is_some() && !options.dry_run;
    let manner = Manner { remembers_all, keeps_versions, is_dry: options.dry_run };
    let mut sorted = vec![false; targets.len() + 1];
    let mut budget = Budget::new(options);
    loop {
        let surveyed = match by_what_they_hold.filter(|sharding| sharding.is_whole()) {
            Some(sharding) => survey(source, targets, (options, sharding), &sorted, cancel).await.map(Some),
            None => Ok(None),
        };
        let (surveyed, unknown) = match surveyed {
            Ok(Some(Surveyed::Known(survey))) => (Some(survey), None),
            Ok(Some(Surveyed::Unknown { target, error })) => (None, Some((target, error))),
            Ok(None) => (None, None),
            Err(Stopped::Source(error)) => return Err(MirrorError::of_source(error)),
            Err(Stopped::Unordered(side)) => {
                sorted[side] = true;
                continue;
            }
        };
        let assignment = Assignment::new(options.sharding.as_ref(), surveyed.as_ref());
        let mut looked_at = Vec::with_capacity(targets.len());
        for replica in targets {
            let book = Book::of(replica, dataset, source.identity());
            let asked = Asked::All(options.adopted_proofs(replica, source));
            looked_at.push(Target::look(replica.clone(), (book, asked), manner, cancel).await);
        }
        // Its part of what nobody holds yet stays undone: the pass is not whole, even if the target can be listed by now.
        if let Some((target, error)) = unknown {
            looked_at[target].give_up(error);
        }
        let round =
            Round::new(source.clone(), looked_at, (options, assignment), &mut budget, cancel.clone(), progress.clone());
        match round.run(&sorted).await? {
            Ended::Whole(report) => return Ok(*report),
            // What was copied by now is found settled; nothing was removed.
            Ended::Unordered(side) => {
                sorted[side] = true;
                if options.dry_run {
                    budget = Budget::new(options);
                }
            }
        }
    }
}

/// Brings every target up to date with some objects of the source, once: with those that somebody said to have changed.
///
/// What was said is not trusted: source and targets are asked how each object is now. It is then treated as [`mirror`] would, and what
/// that remembers of all others stays; so it does not matter how often, how late or in which order one is told of. Objects that left the
/// source are removed where [`MirrorOptions::deletion`] asks for that, by the same share of all that a target holds.
///
/// No manifest is published and none is moved: the next [`mirror`] over everything does that. It also finds what nobody told of.
///
/// The guarantees and assumptions are those of [`mirror`]. What workers have proven is not taken over, and objects are neither split nor cut; the requests are those for the objects
/// themselves and few more: pages of what is remembered are read and written where these objects are on them. A target that cannot be
/// asked for one of them is given up.
///
/// # Errors
/// When the source cannot be asked, two of the copies overlap, or on cancellation. What fails at a target is in the report.
pub async fn mirror_changed(
    source: &Replica,
    targets: &[Replica],
    (options, changed): (&MirrorOptions, &Changed),
    cancel: &CancellationToken,
    progress: MirrorProgress,
) -> Result<MirrorReport, MirrorError> {
    if let Some((one, other)) = overlapping(source, targets) {
        return Err(MirrorError::Overlap(one, other));
    }
    let origins = changed::origins(&changed.keys, options);
    let asked: Vec<_> = origins.keys().cloned().collect();
    let dataset: Option<&DatasetName> = options.dataset.as_ref().map(|dataset| &dataset.name);
    let remembers_all = dataset.is_some() || options.transforming.is_some();
    let keeps_versions = dataset.is_some() && options.versions.is_some() && !options.dry_run;
    let manner = Manner { remembers_all, is_dry: options.dry_run, keeps_versions };
    let mut looked_at = Vec::with_capacity(targets.len());
    for (index, replica) in targets.iter().enumerate() {
        let book = Book::of(replica, dataset, source.identity());
        let mut target = Target::look(replica.clone(), (book, Asked::Keys(&asked)), manner, cancel).await;
        let remembered = target.pages().map_or(0, TargetState::remembered);
        let removed = changed.removed.get(index).copied().unwrap_or_default();
        target.surplus = Surplus::among(remembered.saturating_sub(asked.len() as u64), removed);
        looked_at.push(target);
    }
    let mut budget = Budget::new(options);
    let assignment = Assignment::new(None, None);
    Round::new(source.clone(), looked_at, (options, assignment), &mut budget, cancel.clone(), progress)
        .run_for(origins)
        .await
}
