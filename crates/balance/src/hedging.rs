//! Hedged requests: what has no first byte when most others would have theirs is sent to a second endpoint as well, and the faster
//! one answers (Dean and Barroso, "The Tail at Scale", 2013). After the 95th percentile that costs a twentieth more requests, and a
//! [budget] sees to it that it costs no more when all become slow.

use std::time::Duration;

use crate::budget::{self, Budget};

/// The percentile moves by so much of itself with each answer, from one side to the other.
const STEP: f64 = 0.05;

/// When a second request is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// After the time in which this share of requests has its first byte, from 0 to 1.
    pub quantile: f64,
    /// And not before that. It is also the time until answers are known.
    pub earliest: Duration,
    /// How many may be hedged.
    pub budget: budget::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        let budget = budget::Settings { ratio: 0.05, ..budget::Settings::default() };
        Self { quantile: 0.95, earliest: Duration::from_secs(1), budget }
    }
}

/// The requests of a route, as far as hedging needs to know them.
#[derive(Clone, Debug)]
pub struct Hedging {
    settings: Settings,
    /// Seconds: the quantile of the times to first byte.
    quantile: f64,
    budget: Budget,
}

impl Hedging {
    /// Without having seen any answer.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { quantile: settings.earliest.as_secs_f64(), budget: Budget::new(&settings.budget), settings }
    }

    /// A request begins. Returns after what time to ask whether to hedge it.
    pub fn begin(&mut self, now: Duration) -> Duration {
        self.budget.deposit(now);
        Duration::try_from_secs_f64(self.quantile).unwrap_or(Duration::MAX).max(self.settings.earliest)
    }

    /// The first byte of an answer came after this time. The quantile is followed as in "Frugal Streaming for Estimating Quantiles"
    /// (Ma, Muthukrishnan and Sandler 2013), by steps in proportion: it rests where as many steps lead up as down.
    pub fn first_byte(&mut self, took: Duration) {
        let quantile = self.settings.quantile.clamp(0.0, 1.0);
        let step = if took.as_secs_f64() > self.quantile { quantile } else { quantile - 1.0 };
        self.quantile = (self.quantile * (1.0 + STEP * step)).max(1e-6);
    }

    /// Whether to send a second request now: only of what may be done twice and is still there to be sent, and within the budget.
    pub fn allow(&mut self, is_idempotent: bool, is_kept: bool, now: Duration) -> bool {
        is_idempotent && is_kept && self.budget.withdraw(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_follows_the_quantile() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut hedging = Hedging::new(Settings { earliest: Duration::from_millis(10), ..Settings::default() });
        for scale in [100.0, 2000.0, 300.0] {
            for _ in 0..3000 {
                hedging.first_byte(Duration::from_secs_f64(rng.f64() * scale / 1000.0));
            }
            let delay = hedging.begin(Duration::ZERO).as_secs_f64() * 1000.0;
            assert!((0.85..=1.05).contains(&(delay / scale)), "{delay} ms of {scale} ms");
        }
    }

    #[test]
    fn not_before_the_earliest_and_not_what_must_not_be_done_twice() {
        let mut hedging = Hedging::new(Settings::default());
        (0..1000).for_each(|_| hedging.first_byte(Duration::from_millis(5)));
        assert_eq!(hedging.begin(Duration::ZERO), Duration::from_secs(1));
        assert!(!hedging.allow(false, true, Duration::ZERO) && !hedging.allow(true, false, Duration::ZERO));
        assert!(hedging.allow(true, true, Duration::ZERO));
    }

    #[test]
    fn when_all_become_slow_few_are_hedged() {
        let mut hedging = Hedging::new(Settings::default());
        let mut hedged = 0;
        for number in 0..10_000_u64 {
            let now = Duration::from_millis(number);
            hedging.begin(now);
            hedged += u32::from(hedging.allow(true, true, now));
        }
        assert!((500..=510).contains(&hedged), "{hedged}");
    }
}
