//! How an object is cut into parts: pure.

const MIB: u64 = 1024 * 1024;
/// S3's limit.
const MOST_PARTS: u64 = 10_000;
/// S3's least size of a part that is not the last.
const LEAST_PART: u64 = 5 * MIB;

/// What copying may use.
///
/// The most memory held for content is `max(memory, largest part)`, whatever the number of objects and targets: a part is
/// read only when the budget has room, and its bytes are shared by all targets. One that is sent while it is read takes 2 MiB of
/// the budget, and all of its size when it has to be read again. A part is `part_size`, or more where an
/// object would else have more than 10,000 parts (a 5 TiB object: 525 MiB). On top come listings and state: about
/// 500 bytes for each object and target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferLimits {
    /// Objects in flight at once (default 32): what hides the distance of a store from small objects.
    pub objects: usize,
    /// Objects in parts in flight at once, of those (default 4): few fill a network, and each holds parts in memory.
    pub large_objects: usize,
    /// Parts of one object in flight at once to each target (default 4).
    pub parts: usize,
    /// Bytes of content held in memory (default 80 MiB).
    pub memory: u64,
    /// Objects up to this size go in one request, larger ones in parts of it (default 8 MiB, at least 5 MiB).
    pub part_size: u64,
    /// Bytes of an object in parts between two notes of how far it has come, kept at the target (default 64 MiB): what a pass
    /// that was killed may have to send again.
    pub noted_every: u64,
}

impl Default for TransferLimits {
    fn default() -> Self {
        Self { objects: 32, large_objects: 4, parts: 4, memory: 80 * MIB, part_size: 8 * MIB, noted_every: 64 * MIB }
    }
}

impl TransferLimits {
    /// Whether an object of this size goes in parts.
    pub(crate) fn is_large(&self, size: u64) -> bool {
        size > self.part_size.max(LEAST_PART)
    }

    /// The parts' sizes of an object, in order; a single one means a single request.
    pub(crate) fn parts_of(&self, size: u64) -> Vec<u64> {
        let wanted = self.part_size.max(LEAST_PART);
        if !self.is_large(size) {
            return vec![size];
        }
        let part = wanted.max(size.div_ceil(MOST_PARTS).next_multiple_of(MIB));
        (0..size.div_ceil(part)).map(|index| part.min(size - index * part)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{LEAST_PART, MIB, MOST_PARTS, TransferLimits};
    use proptest::prelude::*;

    #[test]
    fn small_objects_are_one_part() {
        let limits = TransferLimits::default();
        assert_eq!(limits.parts_of(0), [0]);
        assert_eq!(limits.parts_of(8 * MIB), [8 * MIB]);
        assert_eq!(limits.parts_of(8 * MIB + 1), [8 * MIB, 1]);
    }

    #[test]
    fn the_largest_object_fits() {
        let parts = TransferLimits::default().parts_of(5 * 1024 * 1024 * MIB);
        assert_eq!(parts[0], 525 * MIB);
        assert!(parts.len() as u64 <= MOST_PARTS);
    }

    proptest! {
        #[test]
        fn parts_cover_the_object_within_the_limits(size in 0..5 * 1024 * 1024 * MIB, part_size in 0..256 * MIB) {
            let parts = TransferLimits { part_size, ..TransferLimits::default() }.parts_of(size);
            prop_assert_eq!(parts.iter().sum::<u64>(), size);
            prop_assert!(parts.len() as u64 <= MOST_PARTS);
            let (last, others) = parts.split_last().unwrap();
            prop_assert!(others.iter().all(|part| *part >= LEAST_PART && *part == parts[0]));
            prop_assert!(size == 0 || *last > 0);
        }
    }
}
