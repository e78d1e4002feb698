//! What is to be done, and how it is cut: pure.

use serde::{Deserialize, Serialize};

use crate::KeyRange;

/// One pass's work that others do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkPlan {
    /// What tells it from other works: lower-case letters and digits.
    pub id: String,
    /// Of which job it is: that of another is closed.
    pub fingerprint: String,
    /// The cluster where it is done.
    pub cluster: String,
    /// How many clusters were tried before.
    pub attempt: u32,
    /// Workers at once.
    pub workers: u32,
    /// Its ranges.
    pub units: u32,
    /// Objects of all ranges.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Nobody is to begin, or to go on with, any of it.
    pub closed: bool,
}

/// A range of keys, and what there was to copy when it was cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkUnit {
    /// The keys.
    pub range: KeyRange,
    /// Objects to copy.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Ranges that a worker has, about: so many can be taken from one that is slow.
const UNITS_PER_WORKER: u64 = 16;
/// Ranges that are held before they are joined.
const MOST_UNITS: usize = 8192;
/// What an object costs besides its bytes, in bytes.
const OBJECT_OVERHEAD: u64 = 64 * 1024;
/// What a range costs at least, in bytes.
const LEAST: u64 = 1024 * 1024;

/// Cuts what is to be copied into ranges, as its keys are told in their order. Memory does not grow with their number.
#[derive(Debug)]
pub struct Cutter {
    units: Vec<WorkUnit>,
    least: u64,
}

impl Default for Cutter {
    fn default() -> Self {
        Self { units: Vec::new(), least: LEAST }
    }
}

impl WorkUnit {
    fn cost(&self) -> u64 {
        self.bytes.saturating_add(self.objects.saturating_mul(OBJECT_OVERHEAD))
    }

    fn join(&mut self, next: Self) {
        self.range.last = next.range.last;
        self.objects += next.objects;
        self.bytes = self.bytes.saturating_add(next.bytes);
    }
}

impl Cutter {
    /// One more object is to be copied; keys come in their order. One that does not come after the last says that the pass has begun anew, as
    /// it does where a listing turns out not to be in order: then it tells all of them once more.
    pub fn add(&mut self, key: &str, bytes: u64) {
        let last = self.units.last().and_then(|unit| unit.range.last.as_deref());
        if last.is_some_and(|last| key <= last) {
            *self = Self::default();
        }
        let after = self.units.last().and_then(|unit| unit.range.last.clone());
        let range = KeyRange { after, last: Some(key.to_owned()) };
        self.units.push(WorkUnit { range, objects: 1, bytes });
        join_small(&mut self.units, self.least);
        if self.units.len() == MOST_UNITS {
            // Joining is rare only where it leaves room.
            while self.units.len() > MOST_UNITS / 2 {
                self.least *= 2;
                join_all(&mut self.units, self.least);
            }
        }
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// The ranges for so many workers, in the order of keys.
    #[must_use]
    pub fn finish(self, workers: u32) -> Vec<WorkUnit> {
        let total = self.units.iter().fold(0u64, |sum, unit| sum.saturating_add(unit.cost()));
        let mut units = self.units;
        join_all(&mut units, total / (u64::from(workers.max(1)) * UNITS_PER_WORKER));
        units
    }
}

/// Joins the last two where the one before the last is too small to be alone.
fn join_small(units: &mut Vec<WorkUnit>, least: u64) {
    let Some(unit) = units.pop() else { return };
    match units.last_mut() {
        Some(before) if before.cost() < least => before.join(unit),
        _ => units.push(unit),
    }
}

/// Joins neighbours until each is large enough.
fn join_all(units: &mut Vec<WorkUnit>, least: u64) {
    let mut joined: Vec<WorkUnit> = Vec::new();
    for unit in units.drain(..) {
        joined.push(unit);
        join_small(&mut joined, least);
    }
    *units = joined;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Cutter, MOST_UNITS, WorkUnit};

    fn cut(sizes: impl IntoIterator<Item = u64>, workers: u32) -> Vec<WorkUnit> {
        let mut cutter = Cutter::default();
        for (number, size) in sizes.into_iter().enumerate() {
            cutter.add(&format!("{number:08}"), size);
        }
        cutter.finish(workers)
    }

    #[test]
    fn each_worker_has_several_ranges_of_about_the_same_size() {
        let units = cut(std::iter::repeat_n(8 << 20, 1000), 4);
        assert!((50..=64).contains(&units.len()), "{}", units.len());
        let few = cut(std::iter::repeat_n(1, 3), 4);
        assert!(few.len() <= 3, "{few:?}");
        assert!(cut([], 4).is_empty());
    }

    #[test]
    fn a_pass_that_begins_anew_is_cut_anew() {
        let mut cutter = Cutter::default();
        for key in ["b", "d", "a", "c", "d"] {
            cutter.add(key, 64 << 20);
        }
        let units = cutter.finish(1);
        assert_eq!(units.iter().map(|unit| unit.objects).sum::<u64>(), 3);
        assert_eq!((&units[0].range.after, units[0].range.last.as_deref()), (&None, Some("a")));
    }

    #[test]
    fn any_number_of_objects_is_cut_within_bounded_memory() {
        let mut cutter = Cutter::default();
        for number in 0..200_000 {
            cutter.add(&format!("{number:08}"), 4 << 20);
            assert!(cutter.units.len() <= MOST_UNITS);
        }
        let units = cutter.finish(1000);
        assert_eq!(units.iter().map(|unit| unit.objects).sum::<u64>(), 200_000);
    }

    proptest! {
        #[test]
        fn ranges_follow_each_other_and_hold_everything_once(
            sizes in prop::collection::vec(0u64..(64 << 20), 0..300), workers in 1u32..9
        ) {
            let units = cut(sizes.iter().copied(), workers);
            prop_assert_eq!(units.iter().map(|unit| unit.objects).sum::<u64>(), sizes.len() as u64);
            prop_assert_eq!(units.iter().map(|unit| unit.bytes).sum::<u64>(), sizes.iter().sum::<u64>());
            for pair in units.windows(2) {
                prop_assert_eq!(&pair[0].range.last, &pair[1].range.after);
                prop_assert!(pair[0].range.last < pair[1].range.last);
            }
            if let (Some(first), Some(last)) = (units.first(), units.last()) {
                prop_assert_eq!(&first.range.after, &None);
                prop_assert_eq!(last.range.last.clone(), Some(format!("{:08}", sizes.len() - 1)));
            }
        }
    }
}
