use std::future::Future;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::{RetryClass, StoreError};

/// How long a request that may work soon is tried again: exponential delays with jitter, inside a budget.
///
/// It is the only retry.
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

impl RetryPolicy {
    pub(crate) async fn run<T, F, Fut>(&self, attempt: F) -> Result<T, StoreError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let delays = ExponentialBuilder::new()
            .with_jitter()
            .with_factor(2.0)
            .with_min_delay(self.first_delay)
            .with_max_delay(self.longest_delay)
            .without_max_times()
            .with_total_delay(Some(self.budget));
        attempt
            .retry(delays)
            .when(|error| error.retry() != RetryClass::Permanent)
            .notify(|error, delay| tracing::debug!(%error, ?delay, "trying again"))
            .await
    }
}
