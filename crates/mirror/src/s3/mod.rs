//! Amazon S3 and the stores that speak it.

mod classify;
mod connect;
mod listing;
mod objects;
mod probe;

pub(crate) use classify::chain;

use std::fmt;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;

use crate::{ConnectOptions, Place, S3Location};

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
        TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout)
            .operation_attempt_timeout(self.attempt_timeout_with(body))
            .build()
    }
}

impl S3Store {
    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.location.prefix)
    }
}
