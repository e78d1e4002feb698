use std::num::NonZeroU64;

use crate::EgressBudget;

/// What may leave the source in a pass.
///
/// Both are about the source alone: an object is read once, however many targets need it. What is read back from targets to prove
/// copies counts in neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceLimits {
    /// Bytes of content a second, over all objects (default: no limit). Listings do not count.
    pub bandwidth: Option<NonZeroU64>,
    /// What the bytes may cost (default: no limit). An object is paid by its size in the listing before it is read. One that would
    /// cost more than is left is left for a later pass, and one behind it that costs less may still be copied. What has to be read
    /// once more, because an object changed or came damaged, is not counted.
    pub egress: Option<EgressBudget>,
}
