//! What the probes of all stores share.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{RESERVED_PREFIX, StoreError, StoreErrorKind};

/// What a probe writes.
pub(crate) const CONTENT: &[u8] = b"skyfleet";

/// Whether a write that should be refused was refused for that reason; any other failure is one.
pub(crate) fn answered(
    answer: Result<(), StoreError>,
    refusal: impl Fn(&StoreErrorKind) -> bool,
) -> Result<bool, StoreError> {
    match answer {
        Ok(()) => Ok(false),
        Err(error) if refusal(&error.kind) => Ok(true),
        Err(error) if matches!(error.kind, StoreErrorKind::Rejected | StoreErrorKind::Unavailable) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A key of its own for each probe: two at once must not see each other's object.
pub(crate) fn probe_key() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{RESERVED_PREFIX}probe-{}-{}", std::process::id(), now.as_nanos())
}
