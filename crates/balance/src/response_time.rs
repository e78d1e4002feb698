//! How soon an endpoint answers: a peak-sensitive exponentially weighted moving average (EWMA) of the time to first byte, as in
//! Finagle's and linkerd's balancers. It rises to a slow answer at once and comes down over time, since believing too long that an
//! endpoint is slow costs less than believing too long that it is fast.
//!
//! Here it differs: without answers it decays towards the median of the pool, not towards zero. An endpoint that nobody asks any
//! more is tried again, and yet never looks better than the others do. A failure is no answer, however fast it came.

use std::time::Duration;

/// Failures raise an estimate up to so many times the median: as long as that takes to decay, the endpoint is avoided.
const FAILURE_CAP: f64 = 16.0;

/// What estimates are held against.
#[derive(Clone, Copy, Debug)]
pub struct Baseline {
    /// The median of the pool's estimates in seconds.
    pub median: f64,
    /// In this time what is known loses its weight to 1/e.
    pub decay: Duration,
}

impl Baseline {
    fn weight_after(&self, elapsed: Duration) -> f64 {
        (-elapsed.as_secs_f64() / self.decay.as_secs_f64().max(f64::MIN_POSITIVE)).exp()
    }
}

/// The estimate of one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseTime {
    /// Seconds, as of the last answer or failure; before that nothing is known.
    estimate: Option<f64>,
    updated: Duration,
}

impl ResponseTime {
    /// Seconds until the first byte, as it is to be expected now. Without any answer yet it is the median.
    #[must_use]
    pub fn read(&self, baseline: &Baseline, now: Duration) -> f64 {
        match self.estimate {
            Some(estimate) if estimate > baseline.median => {
                let weight = baseline.weight_after(now.saturating_sub(self.updated));
                baseline.median + (estimate - baseline.median) * weight
            }
            Some(estimate) => estimate,
            None => baseline.median,
        }
    }

    /// The estimate as of the last answer or failure, in seconds.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        self.estimate
    }

    /// The first byte of an answer came after this time.
    pub fn answered(&mut self, took: Duration, baseline: &Baseline, now: Duration) {
        let took = took.as_secs_f64();
        let estimate = match self.estimate {
            Some(estimate) if took < estimate => {
                let weight = baseline.weight_after(now.saturating_sub(self.updated));
                estimate * weight + took * (1.0 - weight)
            }
            _ => took,
        };
        self.set(estimate, now);
    }

    /// A request failed after this time: the estimate doubles, at least to the median's double and up to a cap.
    pub fn failed(&mut self, waited: Duration, baseline: &Baseline, now: Duration) {
        let known = self.read(baseline, now).max(baseline.median);
        let raised = (known * 2.0).min((baseline.median * FAILURE_CAP).max(known));
        self.set(raised.max(waited.as_secs_f64()), now);
    }

    /// A request was given up before its first byte: all that is known is that an answer would have taken longer.
    pub fn given_up(&mut self, waited: Duration, baseline: &Baseline, now: Duration) {
        let waited = waited.as_secs_f64();
        if waited > self.read(baseline, now) {
            self.set(waited, now);
        }
    }

    fn set(&mut self, estimate: f64, now: Duration) {
        (self.estimate, self.updated) = (Some(estimate), now);
    }
}

/// The median; of an even number the smaller one of the two in the middle, so that of two endpoints the slower one decays towards
/// the faster. `None` of none. The values are reordered.
pub fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len().checked_sub(1)? / 2;
    let (_, median, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*median)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASELINE: Baseline = Baseline { median: 0.2, decay: Duration::from_secs(10) };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn answered(samples: &[(u64, u64)]) -> ResponseTime {
        let mut response = ResponseTime::default();
        for (at, took) in samples {
            response.answered(ms(*took), &BASELINE, ms(*at));
        }
        response
    }

    #[track_caller]
    fn assert_near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-3, "{value} is not {expected}");
    }

    #[test]
    fn rises_at_once_and_comes_down_over_time() {
        for (samples, now, expected) in [
            (&[][..], 0, 0.2),
            (&[(0, 100)], 0, 0.1),
            (&[(0, 100), (1000, 3000)], 1000, 3.0),
            // After one time constant 1/e of it is left.
            (&[(0, 3000), (10_000, 1000)], 10_000, 1.0 + 2.0 / std::f64::consts::E),
            // Nobody asked: it comes down to the median, and not below.
            (&[(0, 3000)], 10_000, 0.2 + 2.8 / std::f64::consts::E),
            (&[(0, 3000)], 1_000_000, 0.2),
            // One that was faster than the median stays so.
            (&[(0, 100)], 1_000_000, 0.1),
        ] {
            assert_near(answered(samples).read(&BASELINE, ms(now)), expected);
        }
    }

    #[test]
    fn failures_are_slow_however_fast_they_come() {
        let mut response = answered(&[(0, 10)]);
        let mut expected = 0.4;
        for _ in 0..4 {
            response.failed(ms(1), &BASELINE, ms(1));
            assert_near(response.read(&BASELINE, ms(1)), expected);
            expected *= 2.0;
        }
        response.failed(ms(1), &BASELINE, ms(1));
        assert_near(response.read(&BASELINE, ms(1)), 3.2);
        response.failed(ms(9000), &BASELINE, ms(1));
        assert_near(response.read(&BASELINE, ms(1)), 9.0);
        response.failed(ms(1), &BASELINE, ms(1));
        assert_near(response.read(&BASELINE, ms(1)), 9.0);
    }

    #[test]
    fn the_median_of_two_is_the_faster() {
        for (mut values, expected) in
            [(vec![], None), (vec![3.0], Some(3.0)), (vec![3.0, 1.0], Some(1.0)), (vec![3.0, 1.0, 2.0], Some(2.0))]
        {
            assert_eq!(median(&mut values), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_no_answer_never_lowers_the_estimate(
            samples in prop::collection::vec((0..5000_u64, 1..5000_u64), 0..6), waited in 0..6000_u64, later in 0..60_000_u64, fails: bool
        ) {
            let mut sorted = samples;
            sorted.sort_unstable();
            let mut response = answered(&sorted);
            let now = ms(5000 + later);
            let before = response.read(&BASELINE, now);
            if fails {
                response.failed(ms(waited), &BASELINE, now);
                prop_assert!(response.read(&BASELINE, now) >= BASELINE.median);
            } else {
                response.given_up(ms(waited), &BASELINE, now);
            }
            let after = response.read(&BASELINE, now);
            prop_assert!(after + 1e-9 >= before.max(ms(waited).as_secs_f64()), "{before} {after}");
        }
    }
}
