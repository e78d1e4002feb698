//! How watches go on when they are cut off: of members by the operator, and of the hub by gateways.

use std::time::Duration;

use backon::ExponentialBuilder;
use kube::runtime::watcher::{Config, ExponentialBackoff};

/// A watch asks anew after so many seconds: one that a broken network left hanging is noticed by then.
const WATCH_SECONDS: u32 = 60;
/// After the first failure of a watch.
const FIRST_DELAY: Duration = Duration::from_millis(800);
/// Who returns is looked at again within this: what changed meanwhile matters at once.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// A watch that never hangs for long.
pub(crate) fn config() -> Config {
    Config::default().timeout(WATCH_SECONDS)
}

/// How long it waits between two attempts.
pub(crate) fn backoff() -> ExponentialBackoff {
    let backoff = ExponentialBuilder::default()
        .with_min_delay(FIRST_DELAY)
        .with_max_delay(LONGEST_DELAY)
        .with_jitter()
        .without_max_times();
    ExponentialBackoff::from(backoff)
}
