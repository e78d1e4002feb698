//! What happens to replicas of a cluster that is lost, or where they do not serve.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When replicas are made elsewhere for those of a cluster that is lost or where they do not serve. What a lost cluster
/// holds is never deleted before its replacements serve.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// Whether they are made at all.
    #[serde(default)]
    pub policy: MovePolicy,
    /// Seconds for which a cluster was not heard, or replicas that had served do not serve, before replacements are made.
    #[serde(default = "grace_period")]
    #[schemars(range(min = 10, max = 86_400))]
    pub grace_period_seconds: i32,
    /// The same for replicas that have only been started: weights of 100 GB take their time.
    #[serde(default = "startup_patience")]
    #[schemars(range(min = 10, max = 604_800))]
    pub startup_patience_seconds: i32,
    /// When replicas go back.
    #[serde(default)]
    pub failback: Failback,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            policy: MovePolicy::default(),
            grace_period_seconds: grace_period(),
            startup_patience_seconds: startup_patience(),
            failback: Failback::default(),
        }
    }
}

/// When replicas go back to the cluster they were made elsewhere for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Failback {
    /// Whether they go back by themselves.
    #[serde(default)]
    pub policy: MovePolicy,
    /// Seconds for which the cluster must have answered without a break. It takes no new replica before, either.
    #[serde(default = "failback_after")]
    #[schemars(range(min = 0, max = 604_800))]
    pub after_seconds: i32,
}

impl Default for Failback {
    fn default() -> Self {
        Self { policy: MovePolicy::default(), after_seconds: failback_after() }
    }
}

/// As Kubernetes waits before it evicts the pods of a lost node.
fn grace_period() -> i32 {
    300
}

fn startup_patience() -> i32 {
    1800
}

fn failback_after() -> i32 {
    600
}

/// Whether something moves by itself.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MovePolicy {
    /// It does.
    #[default]
    Automatic,
    /// It does not.
    Never,
}

/// Fewer replicas of a cluster are ready than shall be.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Shortfall {
    /// Since when.
    pub since: Time,
    /// Why, as far as the hub can tell.
    pub cause: ShortfallCause,
}

/// Why replicas are not ready.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortfallCause {
    /// They were just asked for, or changed.
    Starting,
    /// They had been ready.
    Failing,
}

/// Replicas of a cluster that were made elsewhere.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Displaced {
    /// How many.
    pub replicas: i32,
    /// Since when.
    pub since: Time,
}
