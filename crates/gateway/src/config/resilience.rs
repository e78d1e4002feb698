//! What only some routes ask for.

use std::time::Duration;

use super::BackendConfig;

/// When a second endpoint is asked too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgingConfig {
    /// After so long without the first byte of an answer.
    pub after: Duration,
    /// For so many of all requests at most, in percent.
    pub budget_percent: u32,
}

/// Where copies of requests go, whose answers nobody gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowConfig {
    /// Who is sent them. Its weight says nothing.
    pub backend: BackendConfig,
    /// Of all requests, in percent.
    pub percent: u32,
}

/// How endpoints are asked whether they are well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthConfig {
    /// What is asked for, by GET; a status from 200 to 399 is well. If not given, the method `Check` of `grpc.health.v1` is called.
    pub path: Option<String>,
    /// From one check to the next.
    pub interval: Duration,
    /// For a connection and the head of the answer.
    pub timeout: Duration,
    /// Checks in a row that must be well until one that is down gets requests again.
    pub rise: u32,
    /// Checks in a row that must fail until it gets none.
    pub fall: u32,
}
