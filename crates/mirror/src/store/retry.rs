//! How requests are tried again, and how many at once.

mod gate;
mod window;

use std::future::Future;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures::TryFutureExt as _;

use crate::{ConnectOptions, RetryClass, StoreError};
use gate::Gate;
pub use window::InFlight;

/// How long a request that may work soon is tried again: exponential delays with jitter, inside a budget.
///
/// It is the only retry. Where a store says in `Retry-After` when to come back, nobody comes earlier; when that is beyond the
/// budget, the request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first delay; each further one doubles, and jitter adds up to as much again.
    pub first_delay: Duration,
    /// The longest delay before jitter.
    pub longest_delay: Duration,
    /// The sum of all delays of one request never exceeds it. Attempts have their own timeouts.
    pub budget: Duration,
}

impl Default for RetryPolicy {
    /// About seven tries within 30 s of waiting: for a caller that comes back anyway, such as a reconcile.
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(10),
            budget: Duration::from_secs(30),
        }
    }
}

/// What all requests of a store share.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    pub(crate) retry: Retry,
}

impl From<ConnectOptions> for Requests {
    fn from(options: ConnectOptions) -> Self {
        let gate = Gate::new(options.in_flight, options.requests_per_second);
        Self { retry: Retry { policy: options.retry, gate } }
    }
}

/// Makes attempts by a policy, each through the store's gate. Clones share the gate.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    policy: RetryPolicy,
    gate: Gate,
}

impl Retry {
    pub(crate) async fn run<T, F, Fut>(&self, mut attempt: F) -> Result<T, StoreError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        self.by_policy(|| self.gate.pass(attempt()).map_err(Missed::attempt)).await
    }

    /// With something that each attempt takes. It is made outside the gate, and when that fails it is not tried again.
    pub(crate) async fn run_with<P, T, Preparing, Fut>(
        &self,
        prepare: impl Fn() -> Preparing,
        attempt: impl Fn(P) -> Fut,
    ) -> Result<T, StoreError>
    where
        Preparing: Future<Output = Result<P, StoreError>>,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        self.by_policy(|| async {
            let prepared = prepare().await.map_err(|error| Missed { error, is_last: true })?;
            self.gate.pass(attempt(prepared)).await.map_err(Missed::attempt)
        })
        .await
    }

    async fn by_policy<T, F, Fut>(&self, attempt: F) -> Result<T, StoreError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Missed>>,
    {
        let delays = ExponentialBuilder::new()
            .with_jitter()
            .with_factor(2.0)
            .with_min_delay(self.policy.first_delay)
            .with_max_delay(self.policy.longest_delay)
            .without_max_times();
        let mut left = self.policy.budget;
        let outcome = attempt
            .retry(delays)
            .when(|missed| !missed.is_last)
            .adjust(|missed, planned| next_delay(&mut left, planned?, missed.error.retry_after))
            .notify(|missed, delay| tracing::debug!(error = %missed.error, ?delay, "trying again"))
            .await;
        outcome.map_err(|missed| missed.error)
    }

    /// Whether the store takes as many requests at once as it is sent at most: it has not asked for fewer lately.
    pub(crate) fn is_unhindered(&self) -> bool {
        self.gate.is_wide_open()
    }

    /// For an attempt of several requests: waits until the next of them may be sent.
    pub(crate) async fn another_request(&self) {
        self.gate.another().await;
    }
}

/// An attempt that failed.
struct Missed {
    error: StoreError,
    is_last: bool,
}

impl Missed {
    fn attempt(error: StoreError) -> Self {
        Self { is_last: error.retry() == RetryClass::Permanent, error }
    }
}

/// The delay before the next attempt, taken off what is left of the budget; `None` when that is not enough.
fn next_delay(left: &mut Duration, planned: Duration, asked_for: Option<Duration>) -> Option<Duration> {
    let delay = planned.max(asked_for.unwrap_or_default());
    *left = left.checked_sub(delay)?;
    Some(delay)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Requests, next_delay};
    use crate::{ConnectOptions, Place, RetryPolicy, StoreError, StoreErrorKind};

    #[test]
    fn what_the_store_asks_for_is_waited_for_within_the_budget() {
        let seconds = Duration::from_secs;
        for (left, planned, asked_for, delay) in [
            (10, 1, None, Some(1)),
            (10, 1, Some(3), Some(3)),
            (10, 4, Some(3), Some(4)),
            (10, 1, Some(10), Some(10)),
            (10, 1, Some(11), None),
            (0, 1, None, None),
        ] {
            let mut budget = seconds(left);
            let found = next_delay(&mut budget, seconds(planned), asked_for.map(seconds));
            assert_eq!(found, delay.map(seconds), "{left} {planned} {asked_for:?}");
            assert_eq!(budget, seconds(left - delay.unwrap_or_default()));
        }
    }

    fn throttled(retry_after: u64) -> StoreError {
        let place = Place { endpoint: "e".into(), bucket: "b".into(), prefix: "".into() };
        let error = place.error(StoreErrorKind::Throttled, "ask", "");
        StoreError { retry_after: Some(Duration::from_secs(retry_after)), ..error }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_tried_again_until_the_budget_is_used_up() {
        let retry = RetryPolicy { budget: Duration::from_secs(25), ..RetryPolicy::default() };
        let requests = Requests::from(ConnectOptions { retry, ..ConnectOptions::default() });
        let (start, mut attempts) = (Instant::now(), 0);
        let outcome = requests.retry.run(|| {
            attempts += 1;
            async { Err::<(), _>(throttled(10)) }
        });
        assert_eq!(outcome.await, Err(throttled(10)));
        assert_eq!((attempts, start.elapsed().as_secs()), (3, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_to_try_again_keeps_nobody_from_asking() {
        let in_flight = crate::InFlight { least: 1, most: 1 };
        let requests = Requests::from(ConnectOptions { in_flight, ..ConnectOptions::default() });
        let (start, mut first) = (Instant::now(), true);
        let retried = requests.retry.run(|| {
            let outcome = if std::mem::take(&mut first) { Err(throttled(10)) } else { Ok(start.elapsed().as_secs()) };
            async { outcome }
        });
        let other = requests.retry.run(|| async { Ok(start.elapsed().as_secs()) });
        assert_eq!(tokio::join!(retried, other), (Ok(10), Ok(0)));
    }
}
