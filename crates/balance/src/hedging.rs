//! Hedged requests: what has no first byte when most others would have theirs is sent to a second endpoint as well, and the faster
//! one answers (Dean and Barroso, "The Tail at Scale", 2013). After the 95th percentile that costs a twentieth more requests, and a
//! [budget] sees to it that it costs no more when all become slow.

use std::time::Duration;

use crate::budget::{self, Budget};

/// When a second request is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// After so long without a first byte.
    pub after: Duration,
    /// How many may be hedged.
    pub budget: budget::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        let budget = budget::Settings { ratio: 0.05, ..budget::Settings::default() };
        Self { after: Duration::from_secs(1), budget }
    }
}

/// The requests of a route, as far as hedging needs to know them.
#[derive(Clone, Debug)]
pub struct Hedging {
    after: Duration,
    budget: Budget,
}

impl Hedging {
    /// Without any request yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { after: settings.after, budget: Budget::new(&settings.budget) }
    }

    /// A request begins.
    pub fn begin(&mut self, now: Duration) {
        self.budget.deposit(now);
    }

    /// Time without a first byte after which to ask whether to hedge a request.
    #[must_use]
    pub fn after(&self) -> Duration {
        self.after
    }

    /// Whether to send a second request now: only of what may be done twice and is still there to be sent, and within the budget.
    pub fn allow(&mut self, is_idempotent: bool, is_kept: bool, now: Duration) -> bool {
        is_idempotent && is_kept && self.budget.withdraw(now)
    }

    /// What was allowed was not sent: no endpoint could take it.
    pub fn give_back(&mut self, now: Duration) {
        self.budget.give_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_done_twice_or_is_gone_is_not_hedged() {
        let mut hedging = Hedging::new(&Settings::default());
        hedging.begin(Duration::ZERO);
        assert_eq!(hedging.after(), Duration::from_secs(1));
        assert!(!hedging.allow(false, true, Duration::ZERO) && !hedging.allow(true, false, Duration::ZERO));
        assert!(hedging.allow(true, true, Duration::ZERO));
    }

    #[test]
    fn when_all_become_slow_few_are_hedged() {
        let mut hedging = Hedging::new(&Settings::default());
        let mut hedged = 0;
        for number in 0..10_000_u64 {
            let now = Duration::from_millis(number);
            hedging.begin(now);
            // Who finds nobody to send it to has used nothing up.
            if number % 2 == 0 && hedging.allow(true, true, now) {
                hedging.give_back(now);
            }
            hedged += u32::from(hedging.allow(true, true, now));
        }
        assert!((500..=510).contains(&hedged), "{hedged}");
    }
}
