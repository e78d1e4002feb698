//! Cuts objects between their rows, names the pieces, and joins them again.
//!
//! - [`Cuttable`] says by its key whether an object can be cut, and what its pieces are called; [`Piece`] is one of them.
//! - [`RecordStart`] finds where the piece of JSON Lines begins, [`CsvScan`] where all of CSV do. A piece of text is exact bytes of its object.
//! - [`cut_parquet`] writes a piece of Parquet, and [`join_parquet`] the whole of all.

mod ahead;
mod csv;
mod json_lines;
mod naming;
mod parquet;

use std::num::NonZeroU64;
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use csv::{CsvCuts, CsvScan, header_of_csv};
pub use json_lines::{LineCount, RecordStart};
pub use naming::{Cuttable, PieceName};
pub use parquet::{cut_parquet, join_parquet};

/// Pieces of an object at most: each is an object of its own, which is listed, remembered and proven.
const MOST_PIECES: u64 = 100_000;

/// One of the pieces of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Piece {
    /// From 0.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

/// Why an object cannot be cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCut {
    /// Nothing tells where its records begin but to read all of it.
    #[error(
        "it is compressed, so that it cannot be cut between its rows: decompress it by a DatasetReplica of its own before \
         (transform.output.compression: None), or leave it out by a filter"
    )]
    Compressed,
    /// Its bytes alone are to be compressed.
    #[error(
        "its rows are to be cut, and the transform is to compress it as mere bytes: give transform.output.format, or leave \
         it out by a filter"
    )]
    NotRead,
    /// Each would have to be kept track of.
    #[error("it would be cut into {pieces} pieces, and {most} is the most: give a larger size of pieces")]
    TooMany {
        /// How many it would be.
        pieces: u64,
        /// How many may be.
        most: u64,
    },
}

impl Piece {
    /// What was not cut.
    pub(crate) const WHOLE: Self = Self { index: 0, of: 1 };

    /// All pieces of an object of so many bytes.
    ///
    /// # Errors
    /// [`NotCut::TooMany`].
    pub fn all(size: u64, piece_size: NonZeroU64) -> Result<impl Iterator<Item = Self>, NotCut> {
        let pieces = size.div_ceil(piece_size.get()).max(1);
        let too_many = NotCut::TooMany { pieces, most: MOST_PIECES };
        let of = u32::try_from(pieces).ok().filter(|_| pieces <= MOST_PIECES).ok_or(too_many)?;
        Ok((0..of).map(move |index| Self { index, of }))
    }

    /// Its part of so many bytes or rows. Those of all pieces are all of them, in their order, and none twice.
    #[must_use]
    pub fn share(self, total: u64) -> Range<u64> {
        let cut = |index: u32| {
            let before = u128::from(total) * u128::from(index) / u128::from(self.of.max(1));
            u64::try_from(before).unwrap_or(total)
        };
        cut(self.index)..cut(self.index.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::{NotCut, Piece};

    fn pieces(size: u64, piece_size: u64) -> Vec<Piece> {
        Piece::all(size, NonZeroU64::new(piece_size).unwrap()).unwrap().collect()
    }

    #[test]
    fn there_are_as_many_as_the_size_takes_and_one_at_least() {
        for (size, piece_size, of) in [(0, 10, 1), (1, 10, 1), (10, 10, 1), (11, 10, 2), (100_000, 1, 100_000)] {
            assert_eq!(pieces(size, piece_size).len(), of, "{size} by {piece_size}");
        }
        let too_many = Piece::all(100_001, NonZeroU64::MIN).map(Iterator::count);
        assert_eq!(too_many, Err(NotCut::TooMany { pieces: 100_001, most: 100_000 }));
        assert!(Piece::all(u64::MAX, NonZeroU64::MIN).is_err());
    }

    proptest! {
        #[test]
        fn their_shares_are_all_and_nearly_alike(total in any::<u64>(), of in 1..1000_u32) {
            let shares: Vec<_> = (0..of).map(|index| Piece { index, of }.share(total)).collect();
            prop_assert_eq!((shares[0].start, shares[shares.len() - 1].end), (0, total));
            prop_assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
            let least = total / u64::from(of);
            prop_assert!(shares.iter().all(|share| (least..=least + 1).contains(&(share.end - share.start))));
        }
    }
}
