//! Let load decide the number of replicas.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Let load decide the number of replicas over the whole fleet.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.targetInFlight) || has(self.targetQueued)")
        .message("give targetInFlight, targetQueued, or both"),
)]
pub struct Autoscaling {
    /// Never fewer; 0 lets an idle model go to zero.
    #[schemars(range(min = 0, max = 100_000))]
    pub min_replicas: i32,
    /// Never more.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_replicas: i32,
    /// Requests in flight (being answered) per replica to aim at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub target_in_flight: Option<i32>,
    /// Requests queued (waiting to be taken up) per replica to aim at. Of two targets the one that wants more counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub target_queued: Option<i32>,
    /// Seconds that a lower number must have been enough before replicas go.
    #[serde(default = "scale_down")]
    #[schemars(range(min = 0, max = 86_400))]
    pub scale_down_seconds: i32,
    /// Seconds without a request before the last replicas go, where `minReplicas` is 0.
    #[serde(default = "idle")]
    #[schemars(range(min = 10, max = 604_800))]
    pub idle_seconds: i32,
}

/// As the HorizontalPodAutoscaler of Kubernetes.
fn scale_down() -> i32 {
    300
}

fn idle() -> i32 {
    900
}

/// What load has decided.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingStatus {
    /// Replicas over the whole fleet.
    pub replicas: i32,
    /// Since when fewer would be enough; absent while they would not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewer_since: Option<Time>,
    /// The most that was wanted since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewer: Option<i32>,
    /// Why, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}
