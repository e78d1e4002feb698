//! Which cluster, and which replica in it, gets a request.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model_deployment::Residency;

/// Which of the replicas gets a request.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Each in turn.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastConnection,
    /// The one that answers soonest, by the time to first byte of late and its requests in flight.
    #[default]
    LeastResponseTime,
}

/// Which clusters get requests.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Locality {
    /// Whether replicas in the gateway's own cluster come first.
    #[serde(default)]
    pub policy: LocalityPolicy,
    /// With PreferLocal: how full the local replicas are, in percent of `limits.maxInFlightPerReplica`, when those elsewhere get requests
    /// too. Without that limit, they do when no local replica is ready.
    #[serde(default = "spill_over")]
    #[schemars(range(min = 1, max = 100))]
    pub spill_over_percent: i32,
    /// Where requests may be sent at all, by law or contract; everywhere if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residency: Option<Residency>,
}

impl Default for Locality {
    fn default() -> Self {
        Self { policy: LocalityPolicy::default(), spill_over_percent: spill_over(), residency: None }
    }
}

fn spill_over() -> i32 {
    80
}

/// Whether replicas in the gateway's own cluster come first.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalityPolicy {
    /// They do, until they are loaded.
    #[default]
    PreferLocal,
    /// All clusters are alike, but for what the algorithm sees of them.
    Any,
}
