//! What a route lets through at most.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::affinity::Header;
use crate::rules::some_rate;

/// What is let through at most.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RouteLimits {
    /// Requests in flight at one replica; without limit if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_in_flight_per_replica: Option<i32>,
    /// Bytes of one request's body, such as `16Mi`; from `1Ki` to `1Gi`. What is larger is answered with 413.
    #[serde(default = "request_bytes")]
    #[x_kube(validation = Rule::new(
        "isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('1Ki')) && \
         !quantity(string(self)).isGreaterThan(quantity('1Gi'))")
        .message("must be a quantity from 1Ki to 1Gi, such as 16Mi (bytes)"))]
    pub request_bytes: Quantity,
    /// Requests that wait while no replica can take them: all are full, or none is ready. If not given, they are answered with 503 at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// What one client may ask for, as much as it likes if not given. What is beyond is answered with 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_client: Option<ClientLimits>,
    /// What all clients together may ask for, as much as they like if not given. What is beyond is answered with 429.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<TotalLimits>,
}

impl Default for RouteLimits {
    fn default() -> Self {
        Self {
            max_in_flight_per_replica: None,
            request_bytes: request_bytes(),
            queue: None,
            per_client: None,
            total: None,
        }
    }
}

fn request_bytes() -> Quantity {
    Quantity("16Mi".to_owned())
}

/// Requests that wait while no replica can take them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// How many wait at most; more are answered with 503.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_requests: i32,
    /// Seconds that one waits; then it is answered with 503.
    #[serde(default = "half_a_minute")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_seconds: i32,
}

fn half_a_minute() -> i32 {
    30
}

/// What one client may ask for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = some_rate())]
pub struct ClientLimits {
    /// Clients are told apart by the value of this header. By their addresses if not given, and where a request has no such header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// Requests a minute; without limit if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub requests_per_minute: Option<i32>,
    /// Tokens a minute, of prompts and answers; without limit if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub tokens_per_minute: Option<i32>,
}

/// What all clients together may ask for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = some_rate())]
pub struct TotalLimits {
    /// Requests a minute; without limit if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub requests_per_minute: Option<i32>,
    /// Tokens a minute, of prompts and answers; without limit if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub tokens_per_minute: Option<i32>,
}
