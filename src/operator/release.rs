//! When an object that is being deleted is let go although a member cannot be reached: a lost member must not block deletion
//! for ever. What is left there is removed by the sweep when the member is reached again.

use jiff::SignedDuration;
use skyfleet_api::labels;

/// So long a deletion waits for a member that cannot be reached.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// Whether the deletion may go on without the member: because somebody `asked`, or because it has `waited` long enough.
pub(super) fn may_release(asked: bool, waited: SignedDuration) -> bool {
    asked || waited >= PATIENCE
}

/// What is waited for, and how the wait is ended.
pub(super) fn waiting(what: &str) -> String {
    format!(
        "{what}; the deletion goes on {PATIENCE:#} after it was asked for, or at once with the annotation {}=true, and what is \
         left in the member is removed when it is reached again",
        labels::ABANDON_UNREACHABLE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_by_itself_or_when_asked() {
        assert!(!may_release(false, SignedDuration::from_secs(299)));
        assert!(may_release(false, SignedDuration::from_secs(300)));
        assert!(may_release(true, SignedDuration::ZERO));
        assert!(waiting("x").contains("5m"), "{}", waiting("x"));
    }
}
