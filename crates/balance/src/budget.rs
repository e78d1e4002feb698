//! A budget for requests that are sent once more: so many percent of all, and a few in any case. When much fails, as much is sent
//! again as the endpoints can bear, instead of all, which would keep them down. The rules are those of Finagle's `RetryBudget`: what
//! comes in and goes out counts for a while and is then forgotten.

use std::time::Duration;

/// The time for which a request counts is cut into so many parts, which are forgotten one after the other.
const PARTS: usize = 10;
/// Thousandths of a retry: what a request brings is counted in whole numbers.
const RETRY: i64 = 1000;

/// How much may be sent again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Retries by requests, from 0 to 1.
    pub ratio: f64,
    /// Retries in a second that need no requests, so that where little is asked a failure can be made good.
    pub minimum_per_second: f64,
    /// For so long a request counts.
    pub window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ratio: 0.2, minimum_per_second: 1.0, window: Duration::from_secs(10) }
    }
}

/// What is left of the budget.
#[derive(Clone, Debug)]
pub struct Budget {
    /// What each request brings.
    deposit: i64,
    /// What is there without requests.
    reserve: i64,
    part: Duration,
    /// What came in less what went out, by parts of the window.
    parts: [i64; PARTS],
    /// The number of the part under way, since the start of time.
    current: u128,
}

impl Budget {
    /// With nothing but its minimum.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            deposit: thousandths(settings.ratio),
            reserve: thousandths(settings.minimum_per_second * settings.window.as_secs_f64()),
            part: (settings.window / 10).max(Duration::from_nanos(1)),
            parts: [0; PARTS],
            current: 0,
        }
    }

    /// A request came, not counting its retries.
    pub fn deposit(&mut self, now: Duration) {
        let deposit = self.deposit;
        *self.part(now) += deposit;
    }

    /// Takes a retry out of the budget, if there is one.
    pub fn withdraw(&mut self, now: Duration) -> bool {
        // First, what is too old is forgotten.
        self.part(now);
        let is_covered = self.reserve + self.parts.iter().sum::<i64>() >= RETRY;
        if is_covered {
            *self.part(now) -= RETRY;
        }
        is_covered
    }

    /// A retry that was taken out was not made.
    pub fn give_back(&mut self, now: Duration) {
        *self.part(now) += RETRY;
    }

    /// The part that counts now. Those that are too old are forgotten.
    fn part(&mut self, now: Duration) -> &mut i64 {
        let current = (now.as_nanos() / self.part.as_nanos()).max(self.current);
        let passed = usize::try_from(current - self.current).unwrap_or(PARTS).min(PARTS);
        self.current = current;
        self.parts.rotate_right(passed);
        self.parts.iter_mut().take(passed).for_each(|part| *part = 0);
        let [newest, ..] = &mut self.parts;
        newest
    }
}

fn thousandths(value: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation, reason = "saturates")]
    let thousandths = (value.max(0.0) * 1000.0).round() as i64;
    thousandths.min(i64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn withdrawn(budget: &mut Budget, millis: u64) -> usize {
        (0..1000).take_while(|_| budget.withdraw(at(millis))).count()
    }

    #[test]
    fn so_many_percent_of_the_requests_and_a_few_in_any_case() {
        let mut budget = Budget::new(&Settings::default());
        assert_eq!(withdrawn(&mut budget, 0), 10, "one a second, for ten seconds");
        (0..100).for_each(|_| budget.deposit(at(500)));
        assert_eq!(withdrawn(&mut budget, 500), 20);
        assert_eq!(withdrawn(&mut budget, 9_999), 0);
        assert_eq!(withdrawn(&mut budget, 20_000), 10, "all is forgotten");
        let mut none = Budget::new(&Settings { minimum_per_second: 0.0, ..Settings::default() });
        (0..4).for_each(|_| none.deposit(at(0)));
        assert!(!none.withdraw(at(0)), "four bring 0.8");
        none.deposit(at(0));
        assert!(none.withdraw(at(0)) && !none.withdraw(at(0)));
    }

    #[test]
    fn requests_are_forgotten() {
        let mut budget = Budget::new(&Settings { minimum_per_second: 0.0, ..Settings::default() });
        (0..100).for_each(|_| budget.deposit(at(0)));
        assert_eq!(withdrawn(&mut budget.clone(), 9_999), 20);
        assert_eq!(withdrawn(&mut budget, 10_000), 0);
    }

    proptest! {
        /// In a storm in which all that is sent fails.
        #[test]
        fn a_storm_of_failures_costs_no_more_than_the_ratio(gaps in prop::collection::vec(0..50_u64, 1000..2000)) {
            let mut budget = Budget::new(&Settings::default());
            let (mut now, mut retries) = (0, 0.0);
            for gap in &gaps {
                now += gap;
                budget.deposit(at(now));
                retries += f64::from(u8::from(budget.withdraw(at(now))));
            }
            #[allow(clippy::cast_precision_loss)]
            let bound = gaps.len() as f64 * 0.2 + 10.0 * (at(now).as_secs_f64() / 10.0 + 2.0);
            prop_assert!(retries <= bound, "{retries} {bound}");
        }
    }
}
