//! Passive outlier ejection: an endpoint that fails several requests in a row gets none for a while, longer each time. The rules are
//! those of Envoy's outlier detection, and one of Finagle's: who is back is on probation, and the next failure ejects it again.

use std::time::Duration;

/// When endpoints are ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Failures in a row. Zero turns ejection off.
    pub consecutive: u32,
    /// For so long the first time, twice as long the second, and so on. An ejection is forgotten for each such time in service.
    pub base: Duration,
    /// At most for so long.
    pub longest: Duration,
    /// The share of the pool that may be ejected at once, from 0 to 1. One always may, and never all.
    pub largest_share: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { consecutive: 5, base: Duration::from_secs(30), longest: Duration::from_mins(5), largest_share: 0.5 }
    }
}

impl Settings {
    /// How many endpoints of a pool of this size may be ejected at once.
    #[must_use]
    pub fn most_of(&self, pool: usize) -> usize {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a pool"
        )]
        let share = (pool as f64 * self.largest_share.clamp(0.0, 1.0)) as usize;
        share.max(1).min(pool.saturating_sub(1))
    }
}

/// What is held against one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ejection {
    /// Failures since the last success.
    consecutive: u32,
    /// Ejections that are not forgotten yet.
    times: u32,
    /// The end of the last ejection.
    until: Option<Duration>,
    on_probation: bool,
}

impl Ejection {
    /// Whether it is to get no requests now.
    #[must_use]
    pub fn is_ejected(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Since when it serves again.
    #[must_use]
    pub fn readmitted(&self) -> Option<Duration> {
        self.until
    }

    /// A request ended well.
    pub fn succeeded(&mut self, now: Duration) {
        self.consecutive = 0;
        if !self.is_ejected(now) {
            self.on_probation = false;
        }
    }

    /// A request failed by its fault. Returns whether it ought to be ejected now; [`eject`](Self::eject) does that if the pool may
    /// spare it. What fails during an ejection was sent before.
    pub fn failed(&mut self, settings: &Settings, now: Duration) -> bool {
        if settings.consecutive == 0 || self.is_ejected(now) {
            return false;
        }
        self.consecutive = self.consecutive.saturating_add(1);
        self.on_probation || self.consecutive >= settings.consecutive
    }

    /// It gets nothing for a while from now on.
    pub fn eject(&mut self, settings: &Settings, now: Duration) {
        let served = now.saturating_sub(self.until.unwrap_or(now)).as_nanos() / settings.base.as_nanos().max(1);
        self.times = self.times.saturating_sub(u32::try_from(served).unwrap_or(u32::MAX)).saturating_add(1);
        let period = settings.base.saturating_mul(self.times).min(settings.longest);
        (self.consecutive, self.until, self.on_probation) = (0, Some(now.saturating_add(period)), true);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: Settings = Settings {
        consecutive: 3,
        base: Duration::from_secs(30),
        longest: Duration::from_secs(100),
        largest_share: 0.3,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Fails once, and is ejected if it ought to be.
    fn fail(ejection: &mut Ejection, now: u64) -> bool {
        let due = ejection.failed(&SETTINGS, at(now));
        if due {
            ejection.eject(&SETTINGS, at(now));
        }
        due
    }

    #[test]
    fn failures_in_a_row_eject_and_a_success_starts_anew() {
        let mut ejection = Ejection::default();
        assert!(!fail(&mut ejection, 0) && !fail(&mut ejection, 0));
        ejection.succeeded(at(0));
        assert!(!fail(&mut ejection, 1) && !fail(&mut ejection, 1) && fail(&mut ejection, 1));
        assert!(ejection.is_ejected(at(1)) && ejection.is_ejected(at(30)) && !ejection.is_ejected(at(31)));
        assert!(!fail(&mut ejection, 2), "what was sent before says nothing new");
    }

    #[test]
    fn each_ejection_is_longer_up_to_a_cap_and_good_service_is_rewarded() {
        let mut ejection = Ejection::default();
        let mut now = 0;
        for _ in 0..3 {
            fail(&mut ejection, now);
        }
        for period in [30, 60, 90, 100, 100] {
            assert!(ejection.is_ejected(at(now + period - 1)) && !ejection.is_ejected(at(now + period)), "{period}");
            now += period;
            assert!(fail(&mut ejection, now), "on probation one failure is enough");
        }
        // The sixth time; then it serves well for long.
        now += 100;
        ejection.succeeded(at(now));
        now += 30 * 4;
        assert!(!fail(&mut ejection, now), "the probation is over");
        assert!(!fail(&mut ejection, now) && fail(&mut ejection, now));
        assert!(ejection.is_ejected(at(now + 89)) && !ejection.is_ejected(at(now + 90)), "of six, four are forgotten");
    }

    #[test]
    fn a_share_of_the_pool_one_at_least_and_never_all() {
        for (pool, most) in [(0, 0), (1, 0), (2, 1), (3, 1), (7, 2), (10, 3), (100, 30)] {
            assert_eq!(SETTINGS.most_of(pool), most, "{pool}");
        }
        assert_eq!(Settings { largest_share: 1.0, ..SETTINGS }.most_of(4), 3);
    }

    proptest! {
        #[test]
        fn what_is_ejected_comes_back(events in prop::collection::vec((0..200_u64, prop::bool::ANY), 0..60)) {
            let (mut ejection, mut now) = (Ejection::default(), 0);
            for (later, fails) in events {
                now += later;
                if fails { fail(&mut ejection, now); } else { ejection.succeeded(at(now)); }
                prop_assert!(!ejection.is_ejected(at(now) + SETTINGS.longest));
            }
        }
    }
}
