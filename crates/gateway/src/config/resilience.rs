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
