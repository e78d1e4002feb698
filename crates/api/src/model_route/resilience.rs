//! What happens when replicas are slow or fail.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How long the gateway waits for replicas.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// Milliseconds for a connection to a replica to stand, TLS included.
    #[serde(default = "connect")]
    #[schemars(range(min = 1, max = 60_000))]
    pub connect_milliseconds: i32,
    /// Seconds from the end of a request to the first byte of the answer. An answer that is not streamed begins when all its tokens are
    /// made: give long ones their time.
    #[serde(default = "first_byte")]
    #[schemars(range(min = 1, max = 86_400))]
    pub first_byte_seconds: i32,
    /// Seconds between two parts of an answer, or of a request.
    #[serde(default = "minute")]
    #[schemars(range(min = 1, max = 86_400))]
    pub idle_seconds: i32,
    /// Seconds for the whole of a request and its answer, retries included; for ever if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub request_seconds: Option<i32>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_milliseconds: connect(),
            first_byte_seconds: first_byte(),
            idle_seconds: minute(),
            request_seconds: None,
        }
    }
}

fn connect() -> i32 {
    2000
}

fn first_byte() -> i32 {
    300
}

fn minute() -> i32 {
    60
}

/// When a request that failed is sent once more.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// How often a request is sent again at most; never with 0.
    #[serde(default = "attempts")]
    #[schemars(range(min = 0, max = 5))]
    pub attempts: i32,
    /// The largest share of retries among the requests of late, in percent: overloaded replicas are not loaded more.
    #[serde(default = "retry_budget")]
    #[schemars(range(min = 0, max = 100))]
    pub budget_percent: i32,
    /// Whether a stream whose first event is an error counts as one that has not begun.
    #[serde(default = "yes")]
    pub on_first_frame_error: bool,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: attempts(), budget_percent: retry_budget(), on_first_frame_error: yes() }
    }
}

fn attempts() -> i32 {
    2
}

fn retry_budget() -> i32 {
    20
}

fn yes() -> bool {
    true
}

/// When a request that takes long is sent to a second replica too.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Hedging {
    /// Milliseconds without the first byte of an answer after which it is. The time within which nineteen of twenty answers begin is a
    /// good choice.
    #[schemars(range(min = 1, max = 600_000))]
    pub after_milliseconds: i32,
    /// The largest share of such second requests among the requests of late, in percent.
    #[serde(default = "hedging_budget")]
    #[schemars(range(min = 1, max = 100))]
    pub budget_percent: i32,
}

fn hedging_budget() -> i32 {
    5
}

/// When a replica that fails gets no requests for a while.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OutlierEjection {
    /// So many failures one after the other: no connection, no answer in time, or a status of 500 and above.
    #[serde(default = "consecutive_errors")]
    #[schemars(range(min = 1, max = 100))]
    pub consecutive_errors: i32,
    /// Seconds for which it is ejected the first time. Each further time in a row takes longer.
    #[serde(default = "base_ejection")]
    #[schemars(range(min = 1, max = 3600))]
    pub base_ejection_seconds: i32,
    /// The largest share of the replicas, in percent, that may be ejected at once; with 0 none is.
    #[serde(default = "half")]
    #[schemars(range(min = 0, max = 100))]
    pub max_percent: i32,
}

impl Default for OutlierEjection {
    fn default() -> Self {
        Self { consecutive_errors: consecutive_errors(), base_ejection_seconds: base_ejection(), max_percent: half() }
    }
}

fn consecutive_errors() -> i32 {
    5
}

fn base_ejection() -> i32 {
    30
}

fn half() -> i32 {
    50
}

/// How each replica is asked whether it is well.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.timeoutSeconds <= self.intervalSeconds")
    .message("timeoutSeconds must not be above intervalSeconds: a check ends before the next one"))]
pub struct HealthCheck {
    /// The path of a GET request, which a replica that is well answers with a status from 200 to 399. If not given, `/health`, and with
    /// protocol GRPC the method `grpc.health.v1.Health/Check`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^/\S*$')").message("must be a path that begins with /"))]
    pub path: Option<String>,
    /// Seconds between two checks of a replica.
    #[serde(default = "interval")]
    #[schemars(range(min = 1, max = 300))]
    pub interval_seconds: i32,
    /// Seconds for an answer.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1, max = 60))]
    pub timeout_seconds: i32,
    /// Checks in a row that must be well before the replica gets requests again.
    #[serde(default = "healthy")]
    #[schemars(range(min = 1, max = 20))]
    pub healthy_threshold: i32,
    /// Checks in a row that must fail before it gets none.
    #[serde(default = "unhealthy")]
    #[schemars(range(min = 1, max = 20))]
    pub unhealthy_threshold: i32,
}

fn interval() -> i32 {
    5
}

fn timeout() -> i32 {
    2
}

fn healthy() -> i32 {
    2
}

fn unhealthy() -> i32 {
    3
}
