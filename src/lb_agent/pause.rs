//! When a load balancer is looked at again: pure, but for the jitter.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use skyfleet_drivers::Retry;

/// Servers that drain may be idle soon.
const DRAINING: Duration = Duration::from_secs(1);
/// What was refused is so for some time: until the routes change, or a person what surrounds them.
const REFUSED: Duration = Duration::from_mins(1);
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

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

/// How long to wait if nothing changes.
pub(super) struct Pauses {
    interval: Duration,
    failures: ExponentialBackoff,
}

impl Pauses {
    /// With so long between two passes of a load balancer that is as it should be.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, failures: failures() }
    }

    /// After a pass.
    pub(super) fn after(&mut self, outcome: Outcome) -> Duration {
        match outcome {
            Outcome::Failed(Retry::AfterChange) => return REFUSED,
            Outcome::Failed(Retry::Later) => return self.failures.next().unwrap_or(LONGEST),
            Outcome::Settled | Outcome::Draining => self.failures = failures(),
        }
        if outcome == Outcome::Draining { DRAINING.min(self.interval) } else { self.interval }
    }
}

fn failures() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST)
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_tried_again_later_and_later_until_one_pass_goes_well() {
        let mut pauses = Pauses::new(Duration::from_secs(10));
        let mut after = |outcome| pauses.after(outcome).as_millis();
        assert_eq!((after(Outcome::Settled), after(Outcome::Draining)), (10_000, 1000));
        let later = Outcome::Failed(Retry::Later);
        assert!((500..=1000).contains(&after(later)));
        let last = (0..20).map(|_| after(later)).last().expect("a pause");
        assert!((30_000..=60_000).contains(&last), "{last}");
        assert_eq!(after(Outcome::Failed(Retry::AfterChange)), 60_000);
        after(Outcome::Settled);
        assert!((500..=1000).contains(&after(later)));
    }
}
