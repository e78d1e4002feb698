//! Waiting for something to become true.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::error::BenchError;

/// Asks at an interval until the answer is good; says on standard error, now and then, how far it is.
pub(crate) async fn until<T>(
    what: &'static str,
    limit: Duration,
    interval: Duration,
    mut ask: impl AsyncFnMut() -> Result<Result<T, String>, BenchError>,
) -> Result<T, BenchError> {
    let start = Instant::now();
    let mut said = start;
    loop {
        let last = match ask().await? {
            Ok(value) => return Ok(value),
            Err(last) => last,
        };
        if start.elapsed() > limit {
            return Err(BenchError::Timeout { what, seconds: limit.as_secs(), last });
        }
        if said.elapsed() > Duration::from_secs(10) {
            eprintln!("           waiting for {what}: {last}");
            said = Instant::now();
        }
        sleep(interval).await;
    }
}
