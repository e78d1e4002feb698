//! A set of digests of any number, in bounded memory: what is too much lies sorted in temporary files.
//!
//! It is a log-structured merge tree (O'Neil et al. 1996) of one level that is never merged, with a Bloom filter (Bloom 1970) before
//! each run. Digests are spread evenly, so that a run is searched by interpolation: one or two blocks are read.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;

/// Digests held in memory: some 40 MiB of them.
const IN_MEMORY: usize = 1 << 20;
/// Digests that are read from a run at once.
const BLOCK: usize = 256;
/// Bits of a Bloom filter for each digest, and how many of them are set: one in a hundred is looked for in vain.
const BLOOM_BITS: usize = 10;
const BLOOM_SET: u32 = 7;

pub(super) struct Seen {
    recent: HashSet<u128, BuildHasherDefault<AsItIs>>,
    runs: Vec<Run>,
    /// Digests in memory at most.
    most: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self::holding(IN_MEMORY)
    }
}

impl Seen {
    fn holding(most: usize) -> Self {
        Self { recent: HashSet::default(), runs: Vec::new(), most }
    }

    /// Whether it was not there before.
    pub(super) fn insert(&mut self, digest: u128) -> io::Result<bool> {
        if self.recent.contains(&digest) {
            return Ok(false);
        }
        for run in &self.runs {
            if run.holds(digest)? {
                return Ok(false);
            }
        }
        self.recent.insert(digest);
        if self.recent.len() >= self.most {
            let mut sorted: Vec<_> = self.recent.drain().collect();
            sorted.sort_unstable();
            self.runs.push(Run::write(&sorted)?);
        }
        Ok(true)
    }
}

/// Digests in a file, in order.
struct Run {
    file: File,
    count: usize,
    bloom: Bloom,
}

impl Run {
    fn write(sorted: &[u128]) -> io::Result<Self> {
        let mut bloom = Bloom::for_so_many(sorted.len());
        let mut file = io::BufWriter::new(tempfile::tempfile()?);
        for digest in sorted {
            bloom.set(*digest);
            file.write_all(&digest.to_be_bytes())?;
        }
        Ok(Self { file: file.into_inner().map_err(io::IntoInnerError::into_error)?, count: sorted.len(), bloom })
    }

    fn holds(&self, digest: u128) -> io::Result<bool> {
        if !self.bloom.may_hold(digest) {
            return Ok(false);
        }
        let (mut from, mut to) = (0, self.count);
        // Where it would lie, if digests were spread quite evenly.
        let mut at = scaled(digest, self.count);
        while from < to {
            let start = at.saturating_sub(BLOCK / 2).clamp(from, to - 1);
            let block = self.block(start, to.min(start + BLOCK))?;
            let (first, last) = (block[0], block[block.len() - 1]);
            if digest < first {
                to = start;
            } else if digest > last {
                from = start + block.len();
            } else {
                return Ok(block.binary_search(&digest).is_ok());
            }
            at = from + (to - from) / 2;
        }
        Ok(false)
    }

    fn block(&self, from: usize, to: usize) -> io::Result<Vec<u128>> {
        let mut bytes = vec![0; (to - from) * size_of::<u128>()];
        self.file.read_exact_at(&mut bytes, (from * size_of::<u128>()) as u64)?;
        let (digests, _) = bytes.as_chunks();
        Ok(digests.iter().copied().map(u128::from_be_bytes).collect())
    }
}

/// The place of a digest among so many that are spread evenly.
fn scaled(digest: u128, count: usize) -> usize {
    let place = ((digest >> 64) * count as u128) >> 64;
    usize::try_from(place).unwrap_or(count)
}

struct Bloom {
    bits: Vec<u64>,
}

impl Bloom {
    fn for_so_many(count: usize) -> Self {
        Self { bits: vec![0; (count * BLOOM_BITS).div_ceil(64).max(1)] }
    }

    /// Two halves of a digest make as many hashes as are wanted (Kirsch and Mitzenmacher 2006).
    fn places(&self, digest: u128) -> impl Iterator<Item = (usize, u64)> + use<> {
        let (one, other, bits) = (low(digest), low(digest >> 64) | 1, self.bits.len() as u64 * 64);
        (0..BLOOM_SET).map(move |number| {
            let bit = one.wrapping_add(other.wrapping_mul(number.into())) % bits;
            (usize::try_from(bit / 64).unwrap_or_default(), 1 << (bit % 64))
        })
    }

    fn set(&mut self, digest: u128) {
        for (word, bit) in self.places(digest) {
            self.bits[word] |= bit;
        }
    }

    fn may_hold(&self, digest: u128) -> bool {
        self.places(digest).all(|(word, bit)| self.bits[word] & bit != 0)
    }
}

/// The lower half.
#[allow(clippy::cast_possible_truncation)]
fn low(digest: u128) -> u64 {
    digest as u64
}

/// A digest is its own hash.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, digest: u128) {
        self.0 = low(digest);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use sha2::{Digest as _, Sha256};

    use super::{Bloom, Seen};

    fn digest(number: u32) -> u128 {
        let digest = Sha256::digest(number.to_be_bytes());
        u128::from_be_bytes(digest[..16].try_into().unwrap())
    }

    #[test]
    fn a_bloom_filter_is_seldom_wrong_and_only_one_way() {
        let mut bloom = Bloom::for_so_many(10_000);
        (0..10_000).for_each(|number| bloom.set(digest(number)));
        assert!((0..10_000).all(|number| bloom.may_hold(digest(number))));
        let wrong = (10_000..20_000).filter(|number| bloom.may_hold(digest(*number))).count();
        assert!(wrong < 300, "{wrong} of 10,000");
    }

    #[test]
    fn digests_that_lie_unevenly_are_found_too() {
        let mut seen = Seen::holding(1000);
        assert!((0..5000).all(|number| seen.insert(number).unwrap()));
        assert!((0..5000).all(|number| !seen.insert(number).unwrap()));
        assert!(seen.insert(u128::MAX).unwrap() && !seen.insert(u128::MAX).unwrap());
    }

    proptest! {
        #[test]
        fn it_tells_what_a_set_tells(numbers in prop::collection::vec(0..400_u32, 0..1000), most in 1..200_usize) {
            let (mut seen, mut model) = (Seen::holding(most), HashSet::new());
            for number in numbers {
                prop_assert_eq!(seen.insert(digest(number)).unwrap(), model.insert(number));
            }
        }
    }
}
