//! What placement knows: the request and the fleet at one moment. The operator, `explain` and `simulate` all make one of
//! these and ask the same function, so that they cannot disagree.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use skyfleet_api::cluster::{Provider, Taint};
use skyfleet_api::model_deployment::{Displaced, Failover, Placement, RebalanceStatus, Shortfall, Strategy};

use crate::capacity::Room;
use crate::failover::Contact;
use crate::load::{Load, Requests};

/// Everything one decision depends on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// What is asked for.
    pub request: Request,
    /// The fleet.
    pub candidates: Vec<Candidate>,
    /// The share of the fleet that may vanish at once before the hub suspects itself, 0 to 1.
    pub max_lost_share: f64,
    /// The moment.
    pub now: Timestamp,
}

/// What a ModelDeployment asks for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// Replicas over the whole fleet.
    pub replicas: i32,
    /// Which clusters may hold them, and how they are shared out.
    pub placement: Placement,
    /// When they are made elsewhere.
    pub failover: Failover,
    /// What was moved to better places lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebalanced: Option<RebalanceStatus>,
}

/// One member cluster as placement sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The cluster's name.
    pub name: String,
    /// Who runs it.
    pub provider: Provider,
    /// Its region.
    pub region: String,
    /// Its zone; empty when it spans several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub zone: String,
    /// Its labels, with provider, region and zone; they may be left out where the request has no cluster selector.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What keeps replicas away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<Taint>,
    /// Whether it is heard.
    pub contact: Contact,
    /// It is leaving the fleet.
    #[serde(default)]
    pub leaving: bool,
    /// The model's data, as far as this cluster is concerned.
    #[serde(default)]
    pub data: Data,
    /// How many more replicas it holds, after all decisions.
    pub room: Room,
    /// What a replica costs there in an hour, where the Cluster gives prices for all that it requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// What this model's replicas there report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// Round trip from the hub in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_milliseconds: Option<i32>,
    /// What it holds of this model.
    #[serde(default)]
    pub held: Held,
}

/// The model's data near a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Data {
    /// The model needs none: it is in the image.
    #[default]
    NotNeeded,
    /// A bucket near the cluster holds the verified data, or is being filled with it.
    Near,
    /// The bucket near the cluster cannot be filled, for this reason.
    Failed(String),
    /// No bucket of the dataset lies near the cluster.
    NoBucketNear,
}

/// What a cluster holds of a model, as the hub decided and last saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Held {
    /// Replicas decided for it.
    pub desired: i32,
    /// Replicas beyond those, kept until others serve in their place.
    pub retained: i32,
    /// Replicas that are ready, as last seen.
    pub ready: i32,
    /// Fewer are ready than shall be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<Shortfall>,
    /// Replicas that were made elsewhere for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub displaced: Option<Displaced>,
}

impl Snapshot {
    /// Where replicas do not tell their load, what gateways tell takes its place, by cluster; only with a strategy that goes by it.
    pub fn complete_loads(&mut self, told: &BTreeMap<String, Requests>) {
        if !matches!(self.request.placement.strategy, Strategy::LeastConnection | Strategy::LeastResponseTime) {
            return;
        }
        for candidate in &mut self.candidates {
            if let Some(requests) = told.get(&candidate.name) {
                candidate.load = requests.complete(candidate.load.take(), candidate.held.serving(), self.now);
            }
        }
    }
}

impl Held {
    /// Replicas that run, or shall run, there now.
    #[must_use]
    pub fn in_force(&self) -> i32 {
        self.desired + self.retained
    }

    /// Of those, the ones that are known to serve.
    #[must_use]
    pub fn serving(&self) -> i32 {
        self.ready.clamp(0, self.in_force())
    }
}
