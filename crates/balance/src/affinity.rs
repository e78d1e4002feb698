//! Affinity: requests with the same key (a session, the beginning of a prompt) go to the same endpoint while that has room, since
//! what it holds in its caches need not be computed again.
//!
//! Each key ranks the endpoints by a hash of both: rendezvous hashing (Thaler and Ravishankar 1998), with weights by the logarithmic
//! method (Schindelhauer and Schomaker 2005). When an endpoint comes, the only keys that move are those it wins, its share of all;
//! when one goes, only its own move. Loads are bounded as in "Consistent Hashing with Bounded Loads" (Mirrokni, Thorup and
//! Zadimoghaddam 2017): who holds more than a factor of its share is passed over. Where a ring sends all of that to the one
//! neighbour, which then is full as well, here each key has a second choice of its own, and the overflow is spread over all.
//!
//! Gateways agree without talking to each other: the hashes are fixed, and nothing but weights and identities goes in. (The logarithm
//! may differ in its last bit between platforms. That decides between two endpoints once in some 10^15 keys.)

use twox_hash::XxHash64;

/// How much an endpoint may hold before keys go elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Requests in flight, by the share that the endpoint's weight gives it. Above 1.
    pub load_factor: f64,
    /// So many may always be in flight: with few requests, a share is less than one, and each second request of a session would leave.
    pub floor: u32,
}

impl Default for Bound {
    fn default() -> Self {
        Self { load_factor: 1.25, floor: 4 }
    }
}

/// An endpoint that may be picked.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its place.
    pub index: usize,
    /// [`hash`] of a name that is the same in every gateway.
    pub identity: u64,
    /// Above zero.
    pub weight: f64,
    /// Requests in flight.
    pub in_flight: u32,
}

/// A hash that is the same in all versions and on all machines, and well spread: XXH64 with seed 0.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// The key of the beginning of a prompt: of its first `blocks` blocks of `block` bytes, or of as many as are whole. Prompts that begin
/// alike have the same key, whatever follows, if both are that long. `None` of less than a block: there is nothing worth finding again.
#[must_use]
pub fn prefix_key(prompt: &[u8], block: usize, blocks: usize) -> Option<u64> {
    let whole = prompt.len().checked_div(block)?.min(blocks);
    let prefix = prompt.get(..whole * block)?;
    (whole > 0).then(|| hash(prefix))
}

/// The place of the endpoint for this key: the first by rank that is within its bound. `None` where there is none to choose from.
pub fn pick(key: u64, candidates: impl Iterator<Item = Candidate> + Clone, bound: &Bound) -> Option<usize> {
    let (mut in_flight, mut weights) = (1.0, 0.0);
    for candidate in candidates.clone() {
        in_flight += f64::from(candidate.in_flight);
        weights += candidate.weight;
    }
    // A whole number is below the bound exactly if it is below the bound rounded up.
    let by_weight = bound.load_factor.max(1.0) * in_flight / weights;
    let most = |weight: f64| (by_weight * weight).max(bound.floor.into());
    candidates
        .filter(|candidate| f64::from(candidate.in_flight) < most(candidate.weight))
        .map(|candidate| Bid { index: candidate.index, drawn: draw(key, candidate.identity), weight: candidate.weight })
        .reduce(|best, bid| if bid.beats(&best) { bid } else { best })
        .map(|bid| bid.index)
}

/// What an endpoint drew for a key.
struct Bid {
    index: usize,
    /// From 0, exclusive, to 1.
    drawn: f64,
    weight: f64,
}

impl Bid {
    /// The smaller time of two exponential distributions by weight wins: each does as often as its share of the weights. With equal
    /// weights that is the larger draw, and the logarithms need not be computed.
    #[allow(clippy::float_cmp, reason = "equal weights are the same number")]
    fn beats(&self, other: &Self) -> bool {
        if self.weight == other.weight {
            return self.drawn > other.drawn;
        }
        self.drawn.ln() / self.weight > other.drawn.ln() / other.weight
    }
}

#[allow(clippy::cast_precision_loss, reason = "53 bits are left")]
fn draw(key: u64, identity: u64) -> f64 {
    ((mix(key ^ identity) >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014): each bit that goes in changes half of those that come out.
fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidates(weights: &[u32], in_flight: &[u32]) -> Vec<Candidate> {
        let candidate = |(index, weight): (usize, &u32)| Candidate {
            index,
            identity: hash(format!("aws-1/pod-{index}").as_bytes()),
            weight: f64::from(*weight),
            in_flight: in_flight.get(index).copied().unwrap_or_default(),
        };
        weights.iter().enumerate().map(candidate).collect()
    }

    fn home(key: u64, candidates: &[Candidate]) -> usize {
        pick(key, candidates.iter().copied(), &Bound::default()).expect("there are some")
    }

    #[test]
    fn keys_are_at_home_where_they_were_in_every_version() {
        let all = candidates(&[1; 10], &[]);
        let homes: Vec<_> = ["alice", "bob", "carol", "dave"].map(|key| home(hash(key.as_bytes()), &all)).into();
        assert_eq!((hash(b"alice"), homes), (8_332_761_332_120_969_289, vec![0, 1, 8, 3]));
        assert_eq!(pick(1, std::iter::empty(), &Bound::default()), None);
    }

    #[test]
    fn keys_are_shared_out_by_weight() {
        let all = candidates(&[1, 2, 5], &[]);
        let mut counts = [0_u32; 3];
        for key in 0..80_000_u64 {
            counts[home(hash(&key.to_le_bytes()), &all)] += 1;
        }
        for (count, expected) in counts.iter().zip([10_000, 20_000, 50_000]) {
            assert!(count.abs_diff(expected) < 500, "{counts:?}");
        }
    }

    #[test]
    fn what_is_too_much_for_one_is_spread_over_all_others() {
        let full = candidates(&[1; 10], &[30, 5, 5, 5, 5, 5, 5, 5, 5, 5]);
        let mut counts = [0_u32; 10];
        for key in 0..100_000 {
            counts[home(key, &full)] += u32::from(home(key, &candidates(&[1; 10], &[])) == 0);
        }
        assert_eq!(counts[0], 0);
        assert!(counts[1..].iter().all(|count| (900..1400).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_few_requests_are_no_reason_to_leave() {
        for (in_flight, stays) in [(1, true), (3, true), (4, false)] {
            let all = candidates(&[1; 10], &[in_flight]);
            let key = (0..1000).find(|key| home(*key, &candidates(&[1; 10], &[])) == 0).expect("one of ten");
            assert_eq!(home(key, &all) == 0, stays, "{in_flight}");
        }
    }

    #[test]
    fn the_beginning_of_a_prompt_is_its_key() {
        let key = |prompt: &str| prefix_key(prompt.as_bytes(), 4, 2);
        assert_eq!(key("abc"), None);
        assert_eq!(key("abcd"), Some(hash(b"abcd")));
        assert_eq!(key("abcdefg"), key("abcd"));
        assert_eq!(key("abcdefgh and so on"), key("abcdefgh or else"));
        assert_eq!((prefix_key(b"abc", 0, 2), prefix_key(b"abc", 1, 0)), (None, None));
    }

    proptest! {
        #[test]
        fn one_that_comes_takes_keys_from_others_and_moves_none_between_them(
            weights in prop::collection::vec(1..10_u32, 2..20), keys in prop::collection::vec(any::<u64>(), 200)
        ) {
            let after = candidates(&weights, &[]);
            let (newest, before) = after.split_last().expect("two at least");
            for key in keys {
                let (was, is) = (home(key, before), home(key, &after));
                prop_assert!(is == was || is == newest.index);
            }
        }

        #[test]
        fn no_endpoint_holds_more_than_its_bound(
            weights in prop::collection::vec(1..10_u32, 1..12), keys in prop::collection::vec(0..5_u64, 1..300)
        ) {
            let mut all = candidates(&weights, &[]);
            for (sent, key) in keys.iter().enumerate() {
                let index = home(*key, &all);
                all[index].in_flight += 1;
                #[allow(clippy::cast_precision_loss)]
                let share = all[index].weight / f64::from(weights.iter().sum::<u32>()) * (sent as f64 + 1.0);
                prop_assert!(f64::from(all[index].in_flight) <= (1.25 * share).ceil().max(4.0));
            }
        }
    }
}
