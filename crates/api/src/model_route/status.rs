//! Who answers now.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Who answers now.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelRouteStatus {
    /// The generation of the spec this status answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and Reconciling or Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Replicas of all backends, as last seen.
    #[serde(default)]
    pub endpoints: i32,
    /// Those of them that get requests.
    #[serde(default)]
    pub ready_endpoints: i32,
    /// `readyEndpoints` of `endpoints`, such as `5/6`, for `kubectl get`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ready: String,
    /// Replicas by backend, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendStatus>,
    /// Replicas by cluster, in the order of the clusters' names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<RouteClusterStatus>,
}

/// The replicas of one backend.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BackendStatus {
    /// The ModelDeployment.
    pub model_deployment: String,
    /// The share of requests that it gets, in percent and rounded: by the weights of the backends that have a ready endpoint.
    #[serde(default)]
    pub share_percent: i32,
    /// Replicas, as last seen.
    #[serde(default)]
    pub endpoints: i32,
    /// Those of them that get requests.
    #[serde(default)]
    pub ready_endpoints: i32,
}

/// The replicas in one cluster, and how they did of late. The placement strategies LeastConnection and LeastResponseTime go by it, so it
/// is written now and then, and not with every change.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RouteClusterStatus {
    /// The Cluster.
    pub cluster: String,
    /// Replicas, as last seen.
    #[serde(default)]
    pub endpoints: i32,
    /// Those of them that get requests.
    #[serde(default)]
    pub ready_endpoints: i32,
    /// Requests in flight to all of them, by whatever route they came; absent as long as no gateway tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<i64>,
    /// Milliseconds to the first byte of an answer, the mean of late; absent as long as no gateway tells, or none had an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_milliseconds: Option<i64>,
}
