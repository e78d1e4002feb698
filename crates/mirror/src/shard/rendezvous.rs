use sha2::{Digest as _, Sha256};

use super::Shard;

/// Weighted rendezvous hashing: every shard draws a number for a key, and the largest wins (Thaler and Ravishankar, "Using
/// Name-Based Mappings to Increase Hit Rates", 1998). A uniform draw `u` in (0, 1) becomes `-weight / ln(u)`, so that each wins in
/// proportion to its weight (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005). A shard that comes or goes
/// changes no draw of the others.
#[derive(Debug, Clone)]
pub(crate) struct Rendezvous {
    /// The hash of each shard's name, and its weight.
    shards: Vec<(u64, f64)>,
}

impl Rendezvous {
    pub(crate) fn new(shards: &[Shard]) -> Self {
        let shards = shards.iter().map(|shard| (hash(&shard.name), f64::from(shard.weight.get())));
        Self { shards: shards.collect() }
    }

    /// The index of the shard that holds this key; 0 where there is none.
    pub(crate) fn shard_of(&self, key: &str) -> usize {
        let key = hash(key);
        let draws = self.shards.iter().map(|(name, weight)| draw(key, *name, *weight)).enumerate();
        draws.max_by(|(_, one), (_, other)| one.total_cmp(other)).map_or(0, |(index, _)| index)
    }
}

fn draw(key: u64, name: u64, weight: f64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let uniform = ((mixed(key ^ name) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -weight / uniform.ln()
}

fn hash(text: &str) -> u64 {
    let digest = Sha256::digest(text);
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014): of two inputs that
/// differ in any bit, the outputs look independent.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::Rendezvous;
    use crate::Shard;

    fn shards(weights: &[u32]) -> Vec<Shard> {
        let shard = |(index, weight): (usize, &u32)| Shard {
            name: format!("s3://bucket-{index}/"),
            target: Some(index),
            weight: NonZeroU32::new(*weight).unwrap(),
        };
        weights.iter().enumerate().map(shard).collect()
    }

    fn counts(weights: &[u32], keys: u32) -> Vec<u32> {
        let rendezvous = Rendezvous::new(&shards(weights));
        let mut counts = vec![0; weights.len()];
        (0..keys).for_each(|key| counts[rendezvous.shard_of(&format!("data/{key:08}.parquet"))] += 1);
        counts
    }

    #[test]
    fn each_gets_its_share() {
        // Five standard deviations of 30,000 draws at one in three, and at one in four, are 408 and 375.
        for count in counts(&[1, 1, 1], 30_000) {
            assert!(count.abs_diff(10_000) < 408, "{count}");
        }
        let counts = counts(&[1, 3], 30_000);
        assert!(counts[0].abs_diff(7_500) < 375 && counts[1] == 30_000 - counts[0], "{counts:?}");
    }

    #[test]
    fn assignments_stay_as_they_were_released() {
        // Another result here would move the data of everybody.
        let rendezvous = Rendezvous::new(&shards(&[1, 2, 3]));
        let assigned: Vec<_> = (0..16).map(|key| rendezvous.shard_of(&format!("key-{key}"))).collect();
        assert_eq!(assigned, [2, 1, 2, 0, 1, 2, 1, 2, 1, 2, 0, 1, 0, 2, 1, 2]);
    }

    proptest! {
        #[test]
        fn a_shard_that_comes_takes_its_share_and_nothing_else_moves(
            weights in prop::collection::vec(1..20_u32, 1..8), added in 1..20_u32, keys in prop::collection::vec(".{0,40}", 1..200),
        ) {
            let mut all = weights.clone();
            all.push(added);
            let (before, after) = (Rendezvous::new(&shards(&weights)), Rendezvous::new(&shards(&all)));
            for key in keys {
                let (before, after) = (before.shard_of(&key), after.shard_of(&key));
                prop_assert!(after == before || after == weights.len());
            }
        }

        #[test]
        fn the_order_of_shards_does_not_matter(weights in prop::collection::vec(1..20_u32, 1..8), key in ".{0,40}") {
            let (there, mut back) = (shards(&weights), shards(&weights));
            back.reverse();
            let name = |shards: &[Shard]| shards[Rendezvous::new(shards).shard_of(&key)].name.clone();
            prop_assert_eq!(name(&there), name(&back));
        }

        #[test]
        fn more_weight_only_draws_towards_it(weights in prop::collection::vec(1..20_u32, 1..8), more in 1..20_u32, key in ".{0,40}") {
            let mut heavier = weights.clone();
            heavier[0] += more;
            let (before, after) = (Rendezvous::new(&shards(&weights)), Rendezvous::new(&shards(&heavier)));
            prop_assert!(after.shard_of(&key) == before.shard_of(&key) || after.shard_of(&key) == 0);
        }
    }
}
