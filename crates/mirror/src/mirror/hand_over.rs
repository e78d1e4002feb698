//! What a pass copies itself, and what it leaves to others that work beside it: pure.

use super::types::MirrorOptions;
use crate::transfer::egress::Spending;

/// The most that a pass copies itself. Of what is beyond, others are told: see [`MirrorEvent::HandedOver`](crate::MirrorEvent).
///
/// Both bounds hold. An object that does not fit is handed over, and those after it may still fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HandOver {
    /// Objects of the source, each once for all targets.
    pub objects: u64,
    /// Bytes that are read of them.
    pub bytes: u64,
}

/// Objects that a pass left to others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HandedOver {
    /// How many.
    pub objects: u64,
    /// Bytes that are to be read of them.
    pub bytes: u64,
}

impl HandedOver {
    pub(super) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether nothing was handed over.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.objects == 0
    }
}

/// What a pass may still do, however often it begins again.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) spending: Spending,
    pub(super) allowance: Allowance,
}

impl Budget {
    pub(super) fn new(options: &MirrorOptions) -> Self {
        Self { spending: Spending::new(options.source_limits.egress), allowance: Allowance(options.hand_over) }
    }
}

/// What a pass may still copy itself; `None` where that is all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance(Option<HandOver>);

impl Allowance {
    /// Whether an object of which so many bytes are read is among it.
    pub(super) fn allows(self, bytes: u64) -> bool {
        self.0.is_none_or(|left| left.objects > 0 && left.bytes >= bytes)
    }

    /// One is copied.
    pub(super) fn take(&mut self, bytes: u64) {
        if let Some(left) = &mut self.0 {
            left.objects = left.objects.saturating_sub(1);
            left.bytes = left.bytes.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Allowance, HandOver};

    fn taken(most: Option<HandOver>, sizes: &[u64]) -> Vec<bool> {
        let mut allowance = Allowance(most);
        let take = |bytes: &u64| {
            let allows = allowance.allows(*bytes);
            if allows {
                allowance.take(*bytes);
            }
            allows
        };
        sizes.iter().map(take).collect()
    }

    #[test]
    fn what_does_not_fit_is_left_and_what_is_smaller_still_fits() {
        for (objects, bytes, expected) in [
            (0, 0, [false, false, false, false]),
            (0, 100, [false, false, false, false]),
            (9, 0, [false, false, false, true]),
            (9, 10, [true, false, true, true]),
            (2, 10, [true, false, true, false]),
            (2, u64::MAX, [true, true, false, false]),
        ] {
            let most = HandOver { objects, bytes };
            assert_eq!(taken(Some(most), &[7, 4, 3, 0]), expected, "{most:?}");
        }
        assert_eq!(taken(None, &[u64::MAX, u64::MAX]), [true, true]);
    }

    proptest! {
        #[test]
        fn neither_bound_is_passed(
            objects in 0..20_u64, bytes in any::<u64>(), sizes in prop::collection::vec(any::<u64>(), 0..50),
        ) {
            let taken = taken(Some(HandOver { objects, bytes }), &sizes);
            let sizes = sizes.iter().zip(taken).filter(|(_, taken)| *taken);
            let (count, sum) = sizes.fold((0, 0), |(count, sum), (size, _)| (count + 1, sum + u128::from(*size)));
            prop_assert!(count <= objects && sum <= u128::from(bytes));
        }
    }
}
