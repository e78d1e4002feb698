//! Instants and seconds, as specs give them.

use jiff::{SignedDuration, Timestamp};

/// So many seconds after `time`; the end of all times where that lies beyond it.
pub(crate) fn after(time: Timestamp, seconds: i32) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds.into())).unwrap_or(Timestamp::MAX)
}
