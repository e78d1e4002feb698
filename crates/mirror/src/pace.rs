//! So much a second: which moment a wish has to wait for is pure.
//!
//! Reservations, by the generic cell rate algorithm. The crates for it (governor, for one) refuse what comes too early and let
//! it try again, take no more at once than their burst and count in 32 bits; here a wish of any size gets its moment at once, in
//! the order in which wishes come.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const SECOND: u128 = 1_000_000_000;

/// When the next wish is due, in nanoseconds since the start.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    rate: u128,
    /// So much of an unused past may be made up for: timers and answers come late.
    slack: u128,
    next: u128,
}

impl Schedule {
    fn new(rate: NonZeroU64, slack: Duration) -> Self {
        Self { rate: u128::from(rate.get()), slack: slack.as_nanos(), next: 0 }
    }

    /// How long `amount` has to wait from `now` on. What comes after it is due so much later.
    fn reserve(&mut self, now: Duration, amount: u64) -> Duration {
        let now = now.as_nanos();
        let due = self.next.max(now.saturating_sub(self.slack));
        self.next = due + (u128::from(amount) * SECOND).div_ceil(self.rate);
        Duration::from_nanos(u64::try_from(due.saturating_sub(now)).unwrap_or(u64::MAX))
    }
}

/// Lets so much through in a second.
#[derive(Debug)]
pub(crate) struct Pace {
    schedule: Mutex<Schedule>,
    start: Instant,
}

impl Pace {
    pub(crate) fn new(rate: NonZeroU64, slack: Duration) -> Self {
        Self { schedule: Mutex::new(Schedule::new(rate, slack)), start: Instant::now() }
    }

    /// Waits until so much may pass. Who stops waiting has taken it all the same.
    pub(crate) async fn take(&self, amount: u64) {
        let now = self.start.elapsed();
        let wait = self.schedule.lock().unwrap_or_else(PoisonError::into_inner).reserve(now, amount);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{Pace, SECOND, Schedule};

    fn schedule(rate: u64, slack: u64) -> Schedule {
        Schedule::new(NonZeroU64::new(rate).unwrap(), Duration::from_millis(slack))
    }

    #[test]
    fn each_wish_waits_for_those_before_it() {
        let mut schedule = schedule(10, 0);
        let waits = [(0, 1), (0, 1), (0, 5), (50, 1), (2000, 1), (2000, 1)]
            .map(|(now, amount)| schedule.reserve(Duration::from_millis(now), amount).as_millis());
        assert_eq!(waits, [0, 100, 200, 650, 0, 100], "what was not used in the past is gone");
    }

    #[test]
    fn a_little_of_the_past_is_made_up_for() {
        let mut schedule = schedule(10, 200);
        let waits = [(); 4].map(|()| schedule.reserve(Duration::from_secs(5), 1).as_millis());
        assert_eq!(waits, [0, 0, 0, 100]);
    }

    proptest! {
        /// In any stretch of time no more passes than the rate, the slack and one wish allow.
        #[test]
        fn no_more_than_the_rate_passes(
            rate in 1..2_000_000_000_u64, slack in 0..200_u64,
            wishes in prop::collection::vec((0..50_u64, 0..200_000_u64), 1..60),
        ) {
            let (mut schedule, mut now, mut passed) = (schedule(rate, slack), 0_u64, Vec::new());
            for (later, amount) in wishes {
                now += later;
                let wait = schedule.reserve(Duration::from_millis(now), amount);
                passed.push((u128::from(now) * 1_000_000 + wait.as_nanos(), u128::from(amount)));
            }
            for from in 0..passed.len() {
                let all: u128 = passed[from..].iter().map(|(_, amount)| amount).sum();
                let (last, amount) = passed[passed.len() - 1];
                let stretch = last - passed[from].0 + u128::from(slack) * 1_000_000;
                prop_assert!((all - amount) * SECOND <= stretch * u128::from(rate));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_megabyte_at_ten_kilobytes_a_second_takes_its_time() {
        let pace = Pace::new(NonZeroU64::new(10_000).unwrap(), Duration::ZERO);
        let start = tokio::time::Instant::now();
        for _ in 0..101 {
            pace.take(10_000).await;
        }
        assert_eq!(start.elapsed().as_secs(), 100);
    }
}
