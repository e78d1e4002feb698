use std::sync::Arc;

use super::Stop;
use super::journal::Journals;
use crate::{Condition, ObjectStore, PartLimits, StoreError, StoreErrorKind};

/// One place a copy goes to.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) key: String,
    /// What must be there still when it is written.
    pub(crate) condition: Condition,
    /// Where it is noted how far a large object has come; nowhere, for one that is never taken up again.
    pub(crate) journals: Option<Arc<Journals>>,
    /// By what it is stopped.
    pub(crate) stop: Stop,
}

impl Destination {
    /// Whether a write failed because its condition does not hold. Some stores say of a version that is gone that nothing is found.
    pub(crate) fn is_unmet(&self, error: &StoreError) -> bool {
        match self.condition {
            Condition::Any => false,
            Condition::Absent => error.kind == StoreErrorKind::Changed,
            Condition::Version(_) => matches!(error.kind, StoreErrorKind::Changed | StoreErrorKind::NotFound),
        }
    }

    pub(crate) fn failed(&self, kind: StoreErrorKind, detail: &str) -> StoreError {
        self.store.place().error(kind, format!("write {:?}", self.key), detail)
    }
}

/// What an object must be cut by that goes to all of them.
pub(crate) fn part_limits(destinations: &[Destination]) -> PartLimits {
    PartLimits::strictest(destinations.iter().map(|destination| destination.store.part_limits()))
}
