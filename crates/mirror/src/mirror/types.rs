use std::fmt;
use std::sync::Arc;

use crate::{
    Deletion, Filter, Left, ManifestDigest, ObjectStore, RetryClass, SourceLimits, StoreError, StoreErrorKind,
    TargetError, TransferLimits, Verification,
};

/// One copy of a dataset: the objects of a store whose key starts with `prefix` (byte for byte; relative to the store's).
#[derive(Debug, Clone)]
pub struct Replica {
    /// The bucket.
    pub store: Arc<dyn ObjectStore>,
    /// The dataset's part of it.
    pub prefix: String,
}

impl Replica {
    pub(crate) fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

/// What a pass does and may use.
#[derive(Debug, Clone, Default)]
pub struct MirrorOptions {
    /// Which objects belong to the dataset.
    pub filter: Filter,
    /// What copying may use.
    pub limits: TransferLimits,
    /// What may leave the source.
    pub source_limits: SourceLimits,
    /// How copies are proven. [`Verification::ReadBack`] is for a target whose store keeps no SHA-256 it checked itself
    /// (see [`crate::Capabilities::checksums`]) or who wants it so.
    pub verification: Verification,
    /// What happens to objects of a target that the source does not have, once the target holds all that it does.
    pub deletion: Deletion,
    /// Put the manifest into the source's bucket too: pods near it load from there. Only where it is writable.
    pub publish_to_source: bool,
}

/// Something that happened in a pass. Targets are counted in the order they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MirrorEvent {
    /// What the target needs, before anything is copied.
    Planned {
        /// Which target.
        target: usize,
        /// Objects to copy.
        objects: u64,
        /// Their bytes.
        bytes: u64,
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
        /// The key, relative to the dataset's prefix.
        key: String,
        /// Its bytes.
        bytes: u64,
    },
    /// An object could not be copied to the target in this pass.
    Failed {
        /// Which target.
        target: usize,
        /// The key, relative to the dataset's prefix.
        key: String,
        /// Why.
        error: StoreError,
    },
}

/// Who is told of events. It is called from many tasks and must not block.
pub type ProgressSink = Arc<dyn Fn(MirrorEvent) + Send + Sync>;

/// How a pass ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorOutcome {
    /// Objects of the dataset in the source.
    pub objects: u64,
    /// Their bytes; `None` while the content of one is not known.
    pub bytes: Option<u64>,
    /// The digest of the dataset's content; `None` when an object could not be read in any pass.
    pub manifest: Option<ManifestDigest>,
    /// Whether the source's bucket has the manifest.
    pub source_publication: SourcePublication,
    /// What could not be read from the source, at most [`ObjectFailure::KEPT`].
    pub source_failures: Vec<ObjectFailure>,
    /// What the budget did not suffice for, each object once.
    pub left: Left,
    /// For each target, in the order they were given.
    pub targets: Vec<TargetOutcome>,
}

/// Whether the source's bucket has the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourcePublication {
    /// Not asked for, or the content is not known yet.
    Skipped,
    /// It is there.
    Published,
    /// It could not be put there.
    Failed(StoreError),
}

/// How a target is after a pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetOutcome {
    /// The manifest that the target now holds, every object proven, and that is published there; `None` when it is behind.
    pub manifest: Option<ManifestDigest>,
    /// Objects of the dataset that are proven at the target. When the target could not be looked at, which `error` says,
    /// nothing is known of it, and this is 0.
    pub verified_objects: u64,
    /// Their bytes.
    pub verified_bytes: u64,
    /// Objects of them that this pass copied.
    pub copied_objects: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Objects that this pass failed to copy.
    pub failed_objects: u64,
    /// The first of them, at most [`ObjectFailure::KEPT`].
    pub failures: Vec<ObjectFailure>,
    /// Objects that this pass left for a later one.
    pub left: Left,
    /// Objects that were removed, since the source does not have them.
    pub removed_objects: u64,
    /// Why not all of those were removed that should be.
    pub removal_error: Option<TargetError>,
    /// Why the target as a whole was given up in this pass.
    pub error: Option<StoreError>,
}

/// An object that could not be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFailure {
    /// The key, relative to the dataset's prefix.
    pub key: String,
    /// Why.
    pub error: StoreError,
}

impl ObjectFailure {
    /// How many failures an outcome keeps; the rest is only counted.
    pub const KEPT: usize = 10;
}

/// Why a pass could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    /// The source cannot be listed.
    #[error("the source: {0}")]
    Source(#[source] StoreError),
    /// A prefix of one lies within the other's, in the same bucket.
    #[error("{0:?} and {1:?} overlap: give the target another bucket or prefix")]
    Overlap(String, String),
    /// The caller asked to stop. What was copied is remembered.
    #[error("the mirror was stopped on request")]
    Cancelled,
}

impl MirrorError {
    pub(crate) fn of_source(error: StoreError) -> Self {
        if error.kind == StoreErrorKind::Cancelled { Self::Cancelled } else { Self::Source(error) }
    }

    /// Whether it helps to try again.
    #[must_use]
    pub fn retry(&self) -> RetryClass {
        match self {
            Self::Source(error) => error.retry(),
            Self::Overlap(..) => RetryClass::Permanent,
            Self::Cancelled => RetryClass::Transient,
        }
    }
}

impl fmt::Display for ObjectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.key, self.error)
    }
}
