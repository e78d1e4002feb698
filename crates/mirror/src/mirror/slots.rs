//! Which objects are copied first where each goes to one target: no target takes all slots, and what waits for one of them keeps nobody
//! from what the others need.

use std::collections::VecDeque;
use std::time::Duration;

use super::naming::How;
use super::round::{Done, Round, Way, attempt};
use super::types::MirrorOptions;
use crate::ObjectSummary;

/// Objects that may wait for one target.
const MOST_WAITING: usize = 1024;
/// A target that needs so many times as much as the others is no slow one.
const MUCH: u64 = 4;

/// An object that is to be copied.
pub(super) struct Order {
    pub(super) object: ObjectSummary,
    /// The key that it has at the source.
    pub(super) source_key: String,
    pub(super) how: How,
    /// The targets, and how it gets to each.
    pub(super) indices: Vec<usize>,
    pub(super) ways: Vec<Way>,
}

/// What each target has of the slots of a pass, and what waits for it: pure.
pub(super) struct Slots<T> {
    most: usize,
    shares: Vec<Share<T>>,
}

struct Share<T> {
    running: usize,
    waiting: VecDeque<T>,
    /// Objects that it needed so far.
    needed: u64,
    /// How long another one had nothing to do until an object of this one had ended.
    held_up: Duration,
    /// Whether it needs none any more.
    has_left: bool,
}

impl<T> Slots<T> {
    pub(super) fn new(most: usize, targets: usize) -> Self {
        let share =
            || Share { running: 0, waiting: VecDeque::new(), needed: 0, held_up: Duration::ZERO, has_left: false };
        Self { most, shares: std::iter::repeat_with(share).take(targets).collect() }
    }

    /// Half of the slots are kept for those that have fewer than the others.
    fn has_slot(&self, target: usize) -> bool {
        let kept = self.most / (2 * self.shares.len().max(1));
        let others = self.shares.iter().enumerate().filter(|(other, share)| *other != target && !share.has_left);
        let kept: usize = others.map(|(_, share)| kept.saturating_sub(share.running)).sum();
        let running: usize = self.shares.iter().map(|share| share.running).sum();
        running + kept < self.most
    }

    /// Gives an order back that may begin; else it waits.
    fn begin(&mut self, target: usize, order: T) -> Option<T> {
        let has_slot = self.has_slot(target);
        let share = &mut self.shares[target];
        share.needed += 1;
        if has_slot {
            share.running += 1;
            return Some(order);
        }
        share.waiting.push_back(order);
        None
    }

    pub(super) fn end(&mut self, target: usize) {
        self.shares[target].running -= 1;
    }

    /// One that waited and may begin now.
    fn next(&mut self) -> Option<T> {
        let can_begin = |target: &usize| !self.shares[*target].waiting.is_empty() && self.has_slot(*target);
        let target = (0..self.shares.len()).filter(can_begin).min_by_key(|target| self.shares[*target].running)?;
        self.shares[target].running += 1;
        self.shares[target].waiting.pop_front()
    }

    /// Whether no more may wait for a target.
    pub(super) fn is_full(&self, target: usize) -> bool {
        self.shares[target].waiting.len() >= MOST_WAITING
    }

    /// A target needs no more slots than it has. Gives back what waits for it.
    fn leave(&mut self, target: usize) -> VecDeque<T> {
        self.shares[target].has_left = true;
        std::mem::take(&mut self.shares[target].waiting)
    }

    /// Nothing further could be begun for so long.
    fn waited(&mut self, time: Duration) {
        let is_idle = |share: &Share<T>| share.running == 0 && share.needed > 0 && !share.has_left;
        if self.shares.iter().any(is_idle) {
            for share in self.shares.iter_mut().filter(|share| share.running > 0) {
                share.held_up = share.held_up.saturating_add(time);
            }
        }
    }

    /// Those that held up others for longer, and for more than a third of the time: with as much to do, they take half as long again.
    /// Whoever has much more to do than the others is not slow.
    fn slow(&self, patience: Duration, passed: Duration) -> Vec<usize> {
        let most_of_others = |target: usize| {
            let others = self.shares.iter().enumerate().filter(|(other, _)| *other != target);
            others.map(|(_, share)| share.needed).max().unwrap_or_default()
        };
        let is_slow = |(target, share): &(usize, &Share<T>)| {
            let is_held_up = share.held_up > patience && share.held_up > passed / 3;
            is_held_up && share.needed <= MUCH.saturating_mul(most_of_others(*target))
        };
        self.shares.iter().enumerate().filter(is_slow).map(|(target, _)| target).collect()
    }
}

/// `None` where an object may go to several targets, or nothing is copied.
pub(super) fn slots(options: &MirrorOptions, targets: usize) -> Option<Slots<Order>> {
    let is_split = options.sharding.is_some() && targets > 1 && !options.dry_run;
    is_split.then(|| Slots::new(options.limits.objects.max(1), targets))
}

impl Round<'_> {
    /// Begins to copy an object, at once or when its target has a slot.
    pub(super) fn begin(&mut self, order: Order) {
        let order = match (&mut self.slots, order.indices.first()) {
            (Some(slots), Some(target)) => slots.begin(*target, order),
            _ => Some(order),
        };
        if let Some(order) = order {
            self.spawn(order);
        }
    }

    fn spawn(&mut self, order: Order) {
        let shared = self.shared.clone();
        self.running.spawn(async move { Done::Copied(attempt(&shared, order).await) });
    }

    /// Begins what waited for what has ended, as long as anything is begun.
    pub(super) fn begin_waiting(&mut self) {
        if self.slots.is_none() {
            return;
        }
        let goes_on = self.goes_on() && !self.shared.transfer.cancel.is_cancelled();
        for target in 0..self.targets.len() {
            if !goes_on || self.targets[target].is_given_up() {
                self.drop_waiting(target);
            }
        }
        while let Some(order) = self.slots.as_mut().and_then(Slots::next) {
            self.spawn(order);
        }
    }

    /// What waits for a target does not come in this pass. Gives back how many objects that are.
    pub(super) fn drop_waiting(&mut self, target: usize) -> u64 {
        let dropped = self.slots.as_mut().map(|slots| slots.leave(target)).unwrap_or_default();
        for order in &dropped {
            self.report.source_bytes -= order.object.size;
            self.targets[target].keep_remembered(&order.object.key);
        }
        dropped.len() as u64
    }

    /// Whether so much waits for a target that nothing further is begun.
    pub(super) fn is_held_up(&self) -> bool {
        let is_full = |target: usize| {
            let is_full = self.slots.as_ref().is_some_and(|slots| slots.is_full(target));
            is_full && !self.targets[target].is_set_aside()
        };
        (0..self.targets.len()).any(|target| self.targets[target].is_waiting() || is_full(target))
    }

    /// Nothing further could be begun for so long.
    pub(super) fn waited(&mut self, time: Duration) {
        if let Some(slots) = &mut self.slots {
            slots.waited(time);
        }
    }

    /// Whose objects the others' wait for.
    pub(super) fn slow_by_slots(&self, patience: Duration, passed: Duration) -> Option<Vec<usize>> {
        self.slots.as_ref().map(|slots| slots.slow(patience, passed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{MOST_WAITING, Slots};

    const PATIENCE: Duration = Duration::from_secs(10);

    fn running(slots: &Slots<usize>) -> Vec<usize> {
        slots.shares.iter().map(|share| share.running).collect()
    }

    #[test]
    fn some_slots_are_always_left_for_the_others() {
        for (most, targets, of_one) in [(32, 2, 24), (32, 4, 20), (32, 16, 17), (8, 3, 6), (1, 2, 1), (2, 4, 2)] {
            let mut slots = Slots::new(most, targets);
            let begun = (0..100).filter(|order| slots.begin(0, *order).is_some()).count();
            assert_eq!(begun, of_one, "{most} {targets}");
            let others = (1..targets).filter(|target| slots.begin(*target, 0).is_some()).count();
            assert_eq!(others, (targets - 1).min(most - of_one), "{most} {targets}");
        }
    }

    #[test]
    fn one_that_is_full_keeps_nobody_else_from_waiting() {
        let mut slots = Slots::new(4, 2);
        for order in 0..MOST_WAITING + 3 {
            slots.begin(0, order);
        }
        assert!(slots.is_full(0) && !slots.is_full(1));
        assert_eq!(slots.begin(1, 7), Some(7));
        assert_eq!((slots.next(), slots.begin(1, 8)), (None, None));
        slots.end(0);
        assert_eq!((slots.next(), slots.next()), (Some(8), None), "who has fewer goes first");
        slots.end(1);
        slots.end(1);
        assert_eq!((slots.next(), slots.next()), (Some(3), None));
        assert_eq!((slots.leave(0).len(), slots.next()), (MOST_WAITING - 1, None));
    }

    /// Two need so much; the first one is held up by the second for some of the seconds that have passed.
    fn is_slow(needed: [usize; 2], held_up: u64, passed: u64) -> bool {
        let mut slots = Slots::new(2, 2);
        for order in 0..needed[0] {
            slots.begin(0, order);
            slots.end(0);
        }
        for order in 0..needed[1] {
            slots.begin(1, order);
        }
        slots.waited(Duration::from_secs(held_up));
        slots.slow(PATIENCE, Duration::from_secs(passed)) == [1]
    }

    #[test]
    fn slow_is_who_is_waited_for_and_has_no_more_to_do() {
        assert!(is_slow([100, 100], 11, 11) && is_slow([100, 1], 11, 30));
        assert!(!is_slow([100, 100], 10, 10), "not for long");
        assert!(!is_slow([100, 100], 20, 60), "not for much of the time");
        assert!(is_slow([100, 400], 11, 11) && !is_slow([100, 401], 11, 11), "it has much more to do");
        assert!(!is_slow([0, 100], 1000, 1000), "nobody waits who needs nothing");
    }

    #[test]
    fn all_that_others_wait_for_are_slow() {
        let mut slots = Slots::new(8, 3);
        for target in 0..3 {
            slots.begin(target, 0);
        }
        slots.waited(Duration::from_secs(100));
        assert!(slots.slow(PATIENCE, PATIENCE).is_empty(), "all have something to do");
        slots.end(0);
        slots.waited(Duration::from_secs(100));
        assert_eq!(slots.slow(PATIENCE, Duration::from_secs(200)), [1, 2]);
    }

    proptest! {
        #[test]
        fn all_begin_once_in_their_order_and_never_too_many(
            most in 1..9_usize, targets in 1..5_usize, steps in prop::collection::vec((0..4_usize, any::<bool>()), 1..200),
        ) {
            let mut slots = Slots::new(most, targets);
            let (mut orders, mut begun) = (0, vec![Vec::new(); targets]);
            for (target, ends) in steps {
                let target = target % targets;
                let next = if ends && slots.shares[target].running > 0 {
                    slots.end(target);
                    slots.next()
                } else {
                    orders += 1;
                    slots.begin(target, orders * targets + target)
                };
                begun[next.map_or(0, |order| order % targets)].extend(next);
                prop_assert!(running(&slots).iter().sum::<usize>() <= most);
                let may_begin = |target: &usize| slots.has_slot(*target) && !slots.shares[*target].waiting.is_empty();
                prop_assert!(!(0..targets).any(|target| may_begin(&target)));
            }
            while running(&slots).iter().any(|running| *running > 0) {
                let target = running(&slots).iter().position(|running| *running > 0).unwrap_or_default();
                slots.end(target);
                let next = slots.next();
                begun[next.map_or(0, |order| order % targets)].extend(next);
            }
            prop_assert!(begun.iter().all(|orders| orders.is_sorted()));
            prop_assert_eq!(begun.iter().map(Vec::len).sum::<usize>(), orders);
        }
    }
}
