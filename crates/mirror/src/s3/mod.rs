//! Amazon S3 and the stores that speak it.

mod classify;
mod connect;
mod listing;
mod objects;
mod probe;

use std::fmt;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;

use crate::{Place, RetryPolicy, S3Location};

/// How a store is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectOptions {
    /// For a connection to stand (default 5 s).
    pub connect_timeout: Duration,
    /// For one attempt of a request; one that carries bytes gets another second for each 64 KiB (default 30 s).
    pub attempt_timeout: Duration,
    /// For the next bytes of an object that is read (default 60 s).
    pub idle_timeout: Duration,
    /// How failed attempts are tried again.
    pub retry: RetryPolicy,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(1),
            retry: RetryPolicy::default(),
        }
    }
}

/// The slowest link on which a request with a body still ends in time.
const LEAST_BYTES_A_SECOND: u64 = 64 * 1024;

/// A bucket, or the part of it below a prefix, in Amazon S3 or a store that speaks S3. Clones share their connections.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    location: S3Location,
    place: Place,
    options: ConnectOptions,
}

/// The client's own `Debug` would show what it signs with.
impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("location", &self.location).finish_non_exhaustive()
    }
}

impl ConnectOptions {
    fn timeouts(&self, body: usize) -> TimeoutConfig {
        let seconds_for_body = body as u64 / LEAST_BYTES_A_SECOND;
        TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout)
            .operation_attempt_timeout(self.attempt_timeout + Duration::from_secs(seconds_for_body))
            .build()
    }
}

impl S3Store {
    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.location.prefix)
    }
}
