//! How the copy of an object that is too large for one request is cut: pure.

use crate::PartLimits;

const MIB: u64 = 1024 * 1024;

/// Parts of a copy whose source does not say how it was cut.
const PART: u64 = 512 * MIB;

/// An object's size and how it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    size: u64,
    part: u64,
}

impl Cut {
    /// As the source was cut: then the ETags are the same.
    pub(super) fn of_source(size: u64, etag: &str, first_part: u64) -> Option<Self> {
        let parts: u64 = etag.rsplit_once('-')?.1.parse().ok()?;
        let is_possible = (1..=PartLimits::S3.part).contains(&first_part) && size.div_ceil(first_part) == parts;
        is_possible.then_some(Self { size, part: first_part })
    }

    pub(super) fn own(size: u64) -> Self {
        Self { size, part: size.div_ceil(PartLimits::S3.parts).next_multiple_of(MIB).max(PART) }
    }

    /// Number, first and last byte of each part.
    pub(super) fn ranges(self) -> impl Iterator<Item = (u32, u64, u64)> {
        let last = move |first: u64| (first + self.part).min(self.size) - 1;
        let firsts = (0..self.size.div_ceil(self.part)).map(move |index| index * self.part);
        (1..).zip(firsts).map(move |(number, first)| (number, first, last(first)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Cut, MIB, PART};

    const GIB: u64 = 1024 * MIB;

    #[test]
    fn a_copy_is_cut_as_its_source_was_where_that_is_known() {
        let of = |size, parts: u32, first| Cut::of_source(size, &format!("{:032}-{parts}", 7), first);
        assert_eq!(of(6 * GIB, 768, 8 * MIB), Some(Cut { size: 6 * GIB, part: 8 * MIB }));
        assert_eq!(of(6 * GIB + 1, 769, 8 * MIB), Some(Cut { size: 6 * GIB + 1, part: 8 * MIB }));
        // It was not cut into equal parts, or into such as no copy can have.
        assert_eq!(of(6 * GIB, 700, 8 * MIB), None);
        assert_eq!(of(6 * GIB, 1, 6 * GIB), None);
        assert_eq!(Cut::of_source(6 * GIB, "0123", 6 * GIB), None);
    }

    #[test]
    fn all_bytes_are_copied_once() {
        for size in [1, PART - 1, PART, PART + 1, 5000 * GIB, 5120 * GIB] {
            let ranges: Vec<_> = Cut::own(size).ranges().collect();
            assert!(ranges.len() <= 10_000 && ranges[0].1 == 0 && ranges.last().unwrap().2 == size - 1, "{size}");
            assert!(ranges.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0 && pair[0].2 + 1 == pair[1].1), "{size}");
        }
    }
}
