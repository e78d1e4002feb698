//! Which range a worker takes next: pure.
//!
//! Each worker has a block of neighbouring ranges and goes through it from its beginning. One that is through with its own takes
//! from the end of the block with the most left: so two of them meet late, and the slowest is helped first (work stealing, as in
//! Blumofe and Leiserson, "Scheduling Multithreaded Computations by Work Stealing", 1999).

use std::collections::BTreeSet;
use std::ops::Range;

/// What is known of all ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Board {
    pub(super) units: u32,
    pub(super) done: BTreeSet<u32>,
    /// Those that another is at.
    pub(super) held: BTreeSet<u32>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Take(u32),
    /// Others are at all that is left: one of them may stop.
    Wait,
    Finished,
}

impl Board {
    /// For one of so many workers, counted from 0.
    pub(super) fn next(&self, worker: u32, workers: u32) -> Next {
        let workers = workers.max(1);
        if let Some(unit) = self.free(self.block(worker % workers, workers)).next() {
            return Next::Take(unit);
        }
        let fullest =
            (0..workers).map(|other| self.block(other, workers)).max_by_key(|of| self.free(of.clone()).count());
        match fullest.and_then(|block| self.free(block).next_back()) {
            Some(unit) => Next::Take(unit),
            None if (0..self.units).all(|unit| self.done.contains(&unit)) => Next::Finished,
            None => Next::Wait,
        }
    }

    fn block(&self, worker: u32, workers: u32) -> Range<u32> {
        let begin = |worker: u32| {
            let begin = u64::from(self.units) * u64::from(worker) / u64::from(workers);
            u32::try_from(begin).unwrap_or(self.units)
        };
        begin(worker)..begin(worker + 1)
    }

    fn free(&self, block: Range<u32>) -> impl DoubleEndedIterator<Item = u32> {
        block.filter(|unit| !self.done.contains(unit) && !self.held.contains(unit))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Board, Next};

    fn board(units: u32, done: &[u32], held: &[u32]) -> Board {
        Board { units, done: done.iter().copied().collect(), held: held.iter().copied().collect() }
    }

    #[test]
    fn a_worker_goes_through_its_own_ranges_first_and_then_helps_the_slowest() {
        assert_eq!(board(9, &[], &[]).next(1, 3), Next::Take(3));
        assert_eq!(board(9, &[3], &[0, 6]).next(1, 3), Next::Take(4));
        assert_eq!(board(9, &[3, 4, 5, 0], &[1, 6]).next(1, 3), Next::Take(8), "of the fullest, its last");
        assert_eq!(board(9, &[3, 4, 5, 6, 7, 8], &[0]).next(1, 3), Next::Take(2));
        assert_eq!(board(3, &[0, 2], &[1]).next(0, 3), Next::Wait);
        assert_eq!(board(3, &[0, 1, 2], &[]).next(0, 3), Next::Finished);
        assert_eq!(board(0, &[], &[]).next(0, 1), Next::Finished);
        assert_eq!(board(2, &[], &[]).next(7, 8), Next::Take(1), "more workers than ranges");
    }

    proptest! {
        #[test]
        fn all_ranges_are_gone_through_whoever_stops_and_nobody_takes_what_another_is_at(
            units in 0u32..40, workers in 1u32..6, turns in prop::collection::vec((0u32..6, any::<bool>()), 0..400)
        ) {
            let (mut done, mut at) = (Vec::new(), vec![None; workers as usize]);
            let step = |worker: u32, done: &mut Vec<u32>, at: &mut Vec<Option<u32>>, dies: bool| {
                let place = worker as usize;
                if let Some(unit) = at[place].take() {
                    if !dies { done.push(unit); }
                    return true;
                }
                let held: Vec<u32> = at.iter().flatten().copied().collect();
                match board(units, done, &held).next(worker, workers) {
                    Next::Take(unit) => {
                        assert!(unit < units && !done.contains(&unit) && !held.contains(&unit));
                        at[place] = Some(unit);
                        true
                    }
                    Next::Wait => { assert!(!held.is_empty()); true }
                    Next::Finished => { assert_eq!(done.len(), units as usize); false }
                }
            };
            for (worker, dies) in turns {
                step(worker % workers, &mut done, &mut at, dies);
            }
            // One worker is enough to end it, once the claims of those that are gone are nobody's.
            at.fill(None);
            while step(0, &mut done, &mut at, false) {}
            prop_assert_eq!(done.len(), units as usize);
        }
    }
}
