//! What runs where.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::autoscaling::AutoscalingStatus;
use super::failover::{Displaced, Shortfall};
use super::rollout::RolloutStatus;

/// What runs where, and why. `placements` is written before members are changed: it is the operator's reservation.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelDeploymentStatus {
    /// The generation of the spec this status answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and Reconciling or Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Replicas that exist, as last seen.
    #[serde(default)]
    pub replicas: i32,
    /// Replicas that are ready, as last seen.
    #[serde(default)]
    pub ready_replicas: i32,
    /// The label selector of the pods, in its text form, for the scale subresource.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub selector: String,
    /// The clusters that hold replicas, for `kubectl get`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub clusters: String,
    /// By which strategy and signal the replicas were shared out last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub strategy: String,
    /// How far the rollout of the last change is, where `spec.rollout` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// What load has decided, where `spec.autoscaling` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingStatus>,
    /// What was moved, where `spec.placement.rebalance` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<RebalanceStatus>,
    /// Replicas by cluster, in the order of the clusters' names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placements: Vec<PlacementStatus>,
}

/// The replicas of one cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlacementStatus {
    /// The Cluster.
    pub cluster: String,
    /// Replicas decided for it.
    pub desired: i32,
    /// Replicas beyond those, kept until others serve in their place.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retained: i32,
    /// Replicas that exist there, as last seen.
    #[serde(default)]
    pub replicas: i32,
    /// Replicas ready there, as last seen.
    #[serde(default)]
    pub ready: i32,
    /// Fewer are ready than shall be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<Shortfall>,
    /// Replicas that were made elsewhere because the cluster was lost or they did not serve here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub displaced: Option<Displaced>,
    /// The revision its pods shall have, where `spec.rollout` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Where they are reached: `host:port` of the Service, as far as its type allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The digest of the verified dataset its pods load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_digest: Option<String>,
    /// Why it has these replicas, and what it waits for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// What was moved to better places.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RebalanceStatus {
    /// When the hour that is counted began.
    pub hour_started: Time,
    /// Replicas moved in it.
    pub moved: i32,
    /// The last move, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last: String,
}
