use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use skyfleet_transform::{Outcome, RowLimits, Transform};

use super::hand_over::{HandOver, HandedOver};
use super::listing::Listed;
use super::naming::Naming;
use super::surplus::MostDeleted;
use super::versions::{Retention, Version};
use crate::state::Proofs;
use crate::{
    DatasetName, Filter, Left, ManifestDigest, ObjectFailure, Replica, Sharding, SourceLimits, StoreError, TagsLost,
    TransferLimits, Verification,
};

/// What a pass does and may use.
#[derive(Debug, Clone, Default)]
pub struct MirrorOptions {
    /// Keys that do not match are left alone, at the source and at the targets.
    pub filter: Filter,
    /// Objects of the source that are smaller or larger (bytes), or were changed earlier or later (seconds since the Unix
    /// epoch), are not copied; what targets have of them stays.
    pub sizes: Bounds<u64>,
    /// See `sizes`.
    pub modified: Bounds<i64>,
    /// What happens to objects of a target that the source does not have.
    pub deletion: Deletion,
    /// Decide and tell, and change nothing.
    pub dry_run: bool,
    /// What copying may use.
    pub limits: TransferLimits,
    /// What may leave the source.
    pub source_limits: SourceLimits,
    /// How long targets wait for another one, in sum, before that is set aside; `None` where they wait as long as it takes.
    ///
    /// That time counts in which more than half of the objects that are copied to several targets wait for one of them only, and all
    /// other time counts against it. A target that is set aside goes on by itself, with a quarter of what [`Self::limits`] allows, and
    /// what it is sent is read once more. The others are brought up to date, and their manifests published, without waiting for it.
    /// Then it has as much time once more, or until a first object or part has come to it, and the pass ends. Objects that do not come so
    /// are left behind for the next pass: see [`TargetReport::left_behind`]. The last target that goes on is never set aside.
    ///
    /// Where objects are split over the targets, nobody waits for another target's object: half of all slots are kept for those that use
    /// few, and 1,024 objects may wait for each target. Then the time counts in which a target has nothing to do until one of another is
    /// done; whoever holds up the others so for longer than this, and for more than a third of the pass, is set aside, unless it needs
    /// four times as many objects as any other.
    ///
    /// Only [`mirror`](crate::mirror()) does that.
    pub patience: Option<Duration>,
    /// Targets, by their place, that are set aside from the beginning, since they were slow the last time: the others wait for them no
    /// more, and the pass is as short as theirs. Nothing without `patience`.
    pub aside: BTreeSet<usize>,
    /// How copies are proven. [`Verification::ReadBack`] is for those who do not trust what a store tells of a checksum.
    pub verification: Verification,
    /// What is copied as a dataset: then the SHA-256 of every object is known, and a digest names all of it.
    pub dataset: Option<Dataset>,
    /// Which older versions of a dataset stay; `None` where what they name is overwritten and removed.
    pub versions: Option<Retention>,
    /// How the objects are split over the targets; `None` where each target gets all of them.
    pub sharding: Option<Sharding>,
    /// What becomes of the objects on their way; `None` where they are copied as they are.
    pub transforming: Option<Transforming>,
    /// What is beyond this is left to others; `None` where the pass copies all that differs.
    pub hand_over: Option<HandOver>,
    /// The work whose workers have copied a part of the dataset by [`mirror_range`](crate::mirror_range): what they have proven at a
    /// target is taken over there; nothing, where there is no dataset. It stays until [`forget_work`](crate::forget_work()).
    pub adopts: Option<String>,
}

/// What becomes of objects on their way.
#[derive(Debug, Clone)]
pub struct Transforming {
    /// The transform.
    pub transform: Arc<Transform>,
    /// Of how many rows it need not succeed, of an object and of all of them together.
    pub limits: RowLimits,
}

impl MirrorOptions {
    /// Whether an object of the source is copied where it is missing.
    pub(super) fn copies(&self, listed: &Listed) -> bool {
        self.filter.keeps(listed.source_key()) && self.is_in_bounds(listed)
    }

    /// The keys of the source's objects of which the one with this key may be made.
    pub(super) fn sources_of(&self, key: &str) -> Vec<String> {
        self.naming().sources_of(key).into_iter().filter(|key| self.filter.keeps(key)).collect()
    }

    /// What the source's objects are called at the targets.
    pub(super) fn naming(&self) -> Naming {
        Naming::new(self.transform().cloned(), self.piece_size())
    }

    /// What the workers of a work have proven of a target.
    pub(super) fn adopted_proofs(&self, target: &Replica, source: &Replica) -> Option<Proofs> {
        let (dataset, work) = (self.dataset.as_ref()?, self.adopts.as_deref()?);
        Some(Proofs::of(target, (&dataset.name, work), source.identity()))
    }

    /// Of about how many bytes pieces are, where objects are cut.
    pub(crate) fn piece_size(&self) -> Option<NonZeroU64> {
        self.sharding.as_ref().and_then(|sharding| sharding.piece_size)
    }

    /// What makes the targets' objects of the source's.
    pub(super) fn transform(&self) -> Option<&Arc<Transform>> {
        self.transforming.as_ref().map(|transforming| &transforming.transform)
    }

    /// Whether an object of the source, all of it, is as large and as old as it is to be.
    pub(super) fn is_in_bounds(&self, listed: &Listed) -> bool {
        self.sizes.hold(&listed.source_size()) && self.modified.hold(&listed.object.modified)
    }
}

/// What the objects of the source are together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Its name: manifests lie below it.
    pub name: DatasetName,
    /// Put the manifest into the source's bucket too: pods near it load from there. Only where it is writable.
    pub publish_to_source: bool,
}

/// From and to, both included; what is `None` bounds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds<T> {
    /// The least.
    pub least: Option<T>,
    /// The most.
    pub most: Option<T>,
}

impl<T: PartialOrd> Bounds<T> {
    pub(super) fn hold(&self, value: &T) -> bool {
        self.least.as_ref().is_none_or(|least| least <= value) && self.most.as_ref().is_none_or(|most| value <= most)
    }
}

/// What happens to objects of a target that the source does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deletion {
    /// They stay.
    #[default]
    Never,
    /// They are removed, when both listings have ended whole, the source still does not have them, and they are not too many.
    Surplus(MostDeleted),
}

/// Something that happened. Targets are counted in the order they were given; keys are relative to the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MirrorEvent {
    /// So many more objects of the source were compared.
    Compared(u64),
    /// An object is to be copied, or would be.
    Differs {
        /// Which target.
        target: usize,
        /// The key.
        key: String,
        /// Its bytes.
        bytes: u64,
        /// When it was changed at the source, in seconds since the Unix epoch.
        modified: i64,
    },
    /// Bytes were taken by the target's store, not proven yet.
    Sent {
        /// Which target.
        target: usize,
        /// How many.
        bytes: u64,
    },
    /// An object was proven at the target.
    Copied {
        /// Which target.
        target: usize,
        /// The key.
        key: String,
        /// Its bytes.
        bytes: u64,
    },
    /// An object was removed from the target, or would be.
    Removed {
        /// Which target.
        target: usize,
        /// The key.
        key: String,
    },
    /// An object differs and is left to others, each once for all targets, in the order of keys. A key that does not come after the
    /// last one says that the pass began again, since a store lists in another order: then all are told once more.
    HandedOver {
        /// The key, as the targets have it.
        key: String,
        /// Bytes that are to be read of it at the source.
        bytes: u64,
        /// When it was changed at the source, in seconds since the Unix epoch.
        modified: i64,
        /// Which targets need it.
        targets: Vec<usize>,
    },
    /// Something failed with an object; `target` is `None` when the source did.
    Failed {
        /// Which target.
        target: Option<usize>,
        /// What and why.
        failure: ObjectFailure,
    },
}

/// Who is told of events. It is called from many tasks and must not block.
pub type MirrorProgress = Arc<dyn Fn(MirrorEvent) + Send + Sync>;

/// How a pass ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MirrorReport {
    /// Objects of the source that were compared, and did not vanish meanwhile.
    pub compared: u64,
    /// Their bytes.
    pub compared_bytes: u64,
    /// Objects that could not be read from the source.
    pub source_failures: u64,
    /// The first of them, at most [`ObjectFailure::KEPT`].
    pub failures: Vec<ObjectFailure>,
    /// Bytes of the objects that were copied, or tried to be: what left the source, each object once, and once more for each target
    /// that was set aside and got it by itself.
    pub source_bytes: u64,
    /// What the budget did not suffice for, each object once.
    pub left: Left,
    /// What others are to copy, each object once.
    pub handed_over: HandedOver,
    /// The digest of the dataset's content, where a target holds all of it.
    pub manifest: Option<ManifestDigest>,
    /// The digest of the index of a dataset that is split, where every target holds its part.
    pub shard_index: Option<ManifestDigest>,
    /// What became of the rows of all objects that are transformed or cut into pieces: those of earlier passes too, each object once.
    pub rows: Outcome,
    /// Whether the source's bucket has the manifest, or the index.
    pub source_publication: SourcePublication,
    /// Objects whose tags could not be read, and that were copied without.
    pub tags_unread: Option<TagsUnread>,
    /// For each target, in the order they were given.
    pub targets: Vec<TargetReport>,
}

/// Whether the source's bucket has the manifest, or the index of a dataset that is split.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SourcePublication {
    /// Not asked for, or no target holds all of it yet.
    #[default]
    Skipped,
    /// It is there.
    Published,
    /// It could not be put there.
    Failed(StoreError),
}

/// Tags that stayed at the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagsUnread {
    /// Of so many objects.
    pub objects: u64,
    /// Why those of the first could not be read.
    pub error: StoreError,
}

/// How a target is after a pass. In a dry run, what would have been done counts as done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetReport {
    /// The manifest of the dataset that the target now holds, every object proven, and that is published there; `None` when it is
    /// behind.
    pub manifest: Option<ManifestDigest>,
    /// Where versions are kept, those that can be loaded from there, the newest first; empty when it is behind.
    pub versions: Vec<Version>,
    /// Objects that needed nothing.
    pub settled: u64,
    /// Their bytes.
    pub settled_bytes: u64,
    /// Objects that were copied.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Copied objects that carried a content type or the like, which the target cannot keep.
    pub attributes_lost: u64,
    /// Copied objects that do not have all of their tags there, by the reason.
    pub tags_lost: BTreeMap<TagsLost, u64>,
    /// Objects that could not be copied or removed.
    pub failed: u64,
    /// The first of them, at most [`ObjectFailure::KEPT`].
    pub failures: Vec<ObjectFailure>,
    /// Objects that were left for a later pass. Then nothing is removed either.
    pub left: Left,
    /// Objects that others are to copy. Then nothing is removed either.
    pub handed_over: HandedOver,
    /// Where it was so slow that it was set aside (see [`MirrorOptions::patience`]): objects that it needs and that it did not get, none
    /// of which has failed. Then its manifest is not published in this pass, even if there are none, and nothing is removed: another
    /// pass does that. `None` where it was not set aside.
    pub left_behind: Option<u64>,
    /// Objects that the source does not have.
    pub surplus: u64,
    /// Objects that it held and another target is to hold now.
    pub moved: u64,
    /// Objects of both that were removed.
    pub removed: u64,
    /// Why the target as a whole was given up, or why nothing was removed.
    pub error: Option<TargetError>,
}

/// What went wrong with a whole target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Its store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Removing would take more than is allowed.
    #[error(
        "nothing was removed: {surplus} of its {held} objects are not at the source, which is more than may be removed at once; \
         see that the source is the right one and whole, and allow a larger share if it is"
    )]
    TooManyDeletions {
        /// Objects that the source does not have.
        surplus: u64,
        /// Objects of the target.
        held: u64,
    },
    /// More than one pass removes.
    #[error("{0} more objects are to be removed: run it again")]
    MoreToRemove(u64),
    /// Objects could not be read, so that it is not known whether the source has more of them.
    #[error("nothing was removed: parts of the source could not be read")]
    SourceIncomplete,
}

impl MirrorReport {
    /// Whether every target holds what the source has, and nothing that was to be removed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let is_whole = self.source_failures == 0 && self.left.is_nothing() && self.handed_over.is_nothing();
        is_whole && self.targets.iter().all(TargetReport::is_complete)
    }
}

impl TargetReport {
    /// Whether no object that it needs was left for later, or to others, and it was not set aside.
    #[must_use]
    pub fn lacks_nothing(&self) -> bool {
        self.left.is_nothing() && self.handed_over.is_nothing() && self.left_behind.is_none()
    }

    /// Whether everything that was tried at it went well, and it was not set aside.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.error.is_none() && self.left_behind.is_none()
    }
}
