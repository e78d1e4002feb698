//! When a load balancer is looked at again: pure.

use std::time::Duration;

use skyfleet_drivers::Retry;

/// Servers that drain may be idle soon.
const DRAINING: Duration = Duration::from_secs(1);
/// What was refused is so for some time: until the routes change, or a person what surrounds them.
const REFUSED: Duration = Duration::from_mins(1);
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// How a pass went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The load balancer has what it is to have.
    Settled,
    /// It has, but for servers that finish what they have.
    Draining,
    /// It could not be read or changed.
    Failed(Retry),
}

/// How long to wait if nothing changes, after so many failures in a row. `random` is from 0 to 1.
pub(super) fn pause(outcome: Outcome, failures: u32, interval: Duration, random: f64) -> Duration {
    match outcome {
        Outcome::Settled => interval,
        Outcome::Draining => DRAINING.min(interval),
        Outcome::Failed(Retry::AfterChange) => REFUSED,
        Outcome::Failed(Retry::Later) => {
            let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16));
            doubled.min(LONGEST).mul_f64(0.5 + random / 2.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_tried_again_later_and_later() {
        let after = |outcome, failures, random| pause(outcome, failures, Duration::from_secs(10), random).as_millis();
        assert_eq!(after(Outcome::Settled, 0, 0.0), 10_000);
        assert_eq!(after(Outcome::Draining, 0, 0.0), 1000);
        assert_eq!(after(Outcome::Failed(Retry::AfterChange), 9, 1.0), 60_000);
        for (failures, random, expected) in
            [(1, 0.0, 500), (1, 1.0, 1000), (2, 1.0, 2000), (5, 0.0, 8000), (9, 1.0, 60_000), (u32::MAX, 1.0, 60_000)]
        {
            assert_eq!(after(Outcome::Failed(Retry::Later), failures, random), expected, "{failures}");
        }
    }
}
