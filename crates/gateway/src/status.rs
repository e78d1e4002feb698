//! How it stands with routes and endpoints: for people and programs.

use serde::Serialize;

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// `namespace/name`.
    pub name: String,
    /// Host names; all if empty.
    pub hosts: Vec<String>,
    /// Beginnings of paths; all if empty.
    pub path_prefixes: Vec<String>,
    /// Models; all if empty.
    pub models: Vec<String>,
    /// Requests among these that an earlier route has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<ConflictStatus>,
    /// Who answers.
    pub backends: Vec<BackendStatus>,
    /// Who is sent copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowStatus>,
}

/// Requests that an earlier route has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConflictStatus {
    /// The earlier route, `namespace/name`.
    pub taken_by: String,
    /// Which requests, for a person.
    pub what: String,
}

/// Who is sent copies of requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowStatus {
    /// Of all requests.
    pub percent: u32,
    /// Who answers them.
    pub backend: BackendStatus,
}

/// A share of a route's requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendStatus {
    /// The ModelDeployment.
    pub name: String,
    /// Its share in relation to the others'.
    pub weight: u32,
    /// Requests that wait for one of its replicas.
    pub waiting: usize,
    /// Requests that came while it had no replica, since it is known. Of those that wait then, the first counts.
    pub unmet: u64,
    /// Where it answers.
    pub endpoints: Vec<EndpointStatus>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// The Cluster.
    pub cluster: String,
    /// Its name there.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// `Serving`, `Down`, `Ejected` or `Draining`.
    pub condition: String,
    /// Its weight now: less than it was given while it starts.
    pub weight: f64,
    /// Requests that have not ended.
    pub in_flight: u32,
    /// Milliseconds to the first byte that are expected of it; absent until it has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_milliseconds: Option<f64>,
    /// First bytes of good answers that have come since it is known.
    pub answered: u64,
    /// Milliseconds to all of these together.
    pub total_response_milliseconds: f64,
}
