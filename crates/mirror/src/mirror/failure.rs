//! Why a pass, or an object of it, failed.

use std::fmt;

use super::range::InvalidPortion;
use crate::{InvalidSharding, RetryClass, StoreError, StoreErrorKind};

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

    pub(super) fn keep_in(self, first: &mut Vec<Self>) {
        if first.len() < Self::KEPT {
            first.push(self);
        }
    }
}

impl fmt::Display for ObjectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.key, self.error)
    }
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
    /// The source cannot be split over the targets as was asked for.
    #[error(transparent)]
    Sharding(#[from] InvalidSharding),
    /// A portion cannot be brought by itself as was asked for.
    #[error(transparent)]
    Portion(#[from] InvalidPortion),
    /// More records than are allowed could not be transformed. What was written by now is remembered, and no manifest names it.
    #[error(
        "{rejected} of {read} records could not be transformed, and at most {percent} % may fail: see the dead letters at \
         the targets, below .skyfleet/dead-letters/"
    )]
    TooManyRejected {
        /// Records that became dead letters.
        rejected: u64,
        /// Records that were read.
        read: u64,
        /// How many may be, in percent.
        percent: u8,
    },
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
            Self::Overlap(..) | Self::Sharding(_) | Self::Portion(_) | Self::TooManyRejected { .. } => {
                RetryClass::Permanent
            }
            Self::Cancelled => RetryClass::Transient,
        }
    }
}
