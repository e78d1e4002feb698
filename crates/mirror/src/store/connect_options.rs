use std::num::NonZeroU32;
use std::time::Duration;

use crate::{InFlight, RetryPolicy};

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
    /// How many requests are in flight at once: fewer when the store asks to slow down, and step by step more again.
    pub in_flight: InFlight,
    /// Bytes that a service is asked to copy by one request; it copies larger objects in parts (default 5 GiB, what S3 takes).
    pub largest_copy: u64,
    /// How many requests are sent in a second; a part of an object is one (default: no limit).
    pub requests_per_second: Option<NonZeroU32>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(1),
            retry: RetryPolicy::default(),
            in_flight: InFlight::default(),
            largest_copy: 5 << 30,
            requests_per_second: None,
        }
    }
}

/// The slowest link on which a request with a body still ends in time.
const LEAST_BYTES_A_SECOND: u64 = 64 * 1024;

impl ConnectOptions {
    /// The time for one attempt of a request that carries so many bytes.
    pub(crate) fn attempt_timeout_with(&self, body: usize) -> Duration {
        self.attempt_timeout + Duration::from_secs(body as u64 / LEAST_BYTES_A_SECOND)
    }
}
