//! Traffic by weight and by portion, exactly: of ten requests to a canary of 10% and its stable, the canary gets one, and a shadow of
//! 10% is sent each tenth request. By chance it would be none of ten in every third case, and a canary is to be judged by what it got.

use crate::affinity::{self, Bound, Candidate};
use crate::round_robin;

/// Requests shared out to backends by weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    backends: Vec<Backend>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Backend {
    /// A hash of its name.
    identity: u64,
    weight: u32,
    turn: i64,
}

impl Split {
    /// These are the backends now, as the [hash](affinity::hash) of the name and the weight. Who stays, keeps the place in the turns.
    pub fn update(&mut self, backends: impl IntoIterator<Item = (u64, u32)>) {
        let turn =
            |identity| self.backends.iter().find(|known| known.identity == identity).map_or(0, |known| known.turn);
        let backend = |(identity, weight)| Backend { identity, weight, turn: turn(identity) };
        self.backends = backends.into_iter().map(backend).collect();
    }

    /// The place of the backend for the next request; `None` where none has a weight.
    pub fn pick(&mut self) -> Option<usize> {
        let backends = self.backends.iter_mut().enumerate();
        round_robin::pick(backends.map(|(place, backend)| (place, &mut backend.turn, i64::from(backend.weight))))
    }

    /// The place of the backend for all requests with this key, such as those of a session, which is not to change between two versions
    /// of a model. A backend has about its share of the keys.
    #[must_use]
    pub fn pick_for(&self, key: u64) -> Option<usize> {
        let weighted = self.backends.iter().enumerate().filter(|(_, backend)| backend.weight > 0);
        let candidates = weighted.map(|(index, backend)| Candidate {
            index,
            identity: backend.identity,
            weight: f64::from(backend.weight),
            in_flight: 0,
        });
        affinity::pick(key, candidates, &Bound::default())
    }
}

/// A portion of requests, evenly spread: what is mirrored to a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    numerator: u32,
    denominator: u32,
    gathered: u64,
}

impl Portion {
    /// So many of so many; at most all. Zero of zero is none.
    #[must_use]
    pub fn new(numerator: u32, denominator: u32) -> Self {
        Self { numerator: numerator.min(denominator), denominator, gathered: 0 }
    }

    /// Whether the next request is one of them.
    #[must_use = "each call is a request"]
    pub fn takes(&mut self) -> bool {
        self.gathered += u64::from(self.numerator);
        let is_full = self.denominator > 0 && self.gathered >= u64::from(self.denominator);
        if is_full {
            self.gathered -= u64::from(self.denominator);
        }
        is_full
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(weights: &[u32]) -> Split {
        let mut split = Split::default();
        split.update(
            weights.iter().enumerate().map(|(place, weight)| (affinity::hash(&[place.try_into().unwrap()]), *weight)),
        );
        split
    }

    #[test]
    fn a_canary_gets_exactly_its_weight() {
        let mut split = split(&[90, 10, 0]);
        for _ in 0..5 {
            let picks: Vec<_> = (0..10).filter_map(|_| split.pick()).collect();
            assert_eq!(picks.iter().filter(|place| **place == 1).count(), 1, "{picks:?}");
        }
        // However often the backends are told anew.
        let again =
            |split: &mut Split| split.update(split.clone().backends.iter().map(|known| (known.identity, known.weight)));
        let picks: Vec<_> = (0..10).filter_map(|_| (again(&mut split), split.pick()).1).collect();
        assert_eq!(picks.iter().filter(|place| **place == 1).count(), 1, "{picks:?}");
        assert_eq!((Split::default().pick(), Split::default().pick_for(1)), (None, None));
    }

    #[test]
    fn a_session_stays_with_its_backend() {
        let (before, after) = (split(&[90, 10, 0]), split(&[80, 20, 0]));
        let moved = (0..10_000).map(affinity_key).filter(|key| before.pick_for(*key) != after.pick_for(*key)).count();
        assert!((800..1200).contains(&moved), "a tenth changes to the canary: {moved}");
        let to_canary = (0..10_000).map(affinity_key).filter(|key| before.pick_for(*key) == Some(1)).count();
        assert!((900..1100).contains(&to_canary), "{to_canary}");
    }

    fn affinity_key(number: u32) -> u64 {
        affinity::hash(&number.to_le_bytes())
    }

    #[test]
    fn a_portion_is_spread_evenly() {
        let takes = |numerator, denominator, of| {
            let mut portion = Portion::new(numerator, denominator);
            (0..of).filter(|_| portion.takes()).collect::<Vec<u32>>()
        };
        assert_eq!(takes(10, 100, 30), [9, 19, 29]);
        assert_eq!(takes(2, 3, 6), [1, 2, 4, 5]);
        for (numerator, denominator, expected) in [(0, 100, 0), (0, 0, 0), (100, 100, 30), (5, 3, 30)] {
            assert_eq!(takes(numerator, denominator, 30).len(), expected, "{numerator}/{denominator}");
        }
    }

    proptest! {
        #[test]
        fn a_portion_is_exact_at_any_time(numerator in 0..100_u32, of in 1..1000_u32) {
            let mut portion = Portion::new(numerator, 100);
            let taken = u32::try_from((0..of).filter(|_| portion.takes()).count()).expect("a small number");
            prop_assert_eq!(taken, of * numerator / 100);
        }
    }
}
