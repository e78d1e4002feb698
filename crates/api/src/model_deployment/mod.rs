//! `ModelDeployment`: a model served by replicas all over the fleet.

mod model;
mod placement;
mod runtime;
mod status;

pub use model::{BucketModel, DatasetReplicaModel, ImageModel, Model};
pub use placement::{
    DataLocality, Placement, Residency, Spread, Strategy, Toleration, TolerationOperator, TopologyKey,
};
pub use runtime::{Preset, Probes, Runtime, ServiceSpec, ServiceType};
pub use status::{ModelDeploymentStatus, PlacementStatus};

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::UnsupportedFields;

/// A model, the runtime that serves it, and where its replicas may run.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "skyfleet.dev",
    version = "v1alpha1",
    kind = "ModelDeployment",
    namespaced,
    doc = "A model, the runtime that serves it, and where in the fleet its replicas run.",
    status = "ModelDeploymentStatus",
    derive = "PartialEq",
    shortname = "skm",
    category = "skyfleet",
    validation = Rule::new("self.metadata.name.size() <= 50 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name becomes that of a Service in each member cluster: at most 50 of a-z, 0-9 and '-', a letter first"),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model.name"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Clusters", type_ = "string", json_path = ".status.clusters"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.autoscaling) || self.autoscaling.minReplicas <= self.autoscaling.maxReplicas")
        .message("autoscaling.minReplicas must not be above autoscaling.maxReplicas"),
)]
pub struct ModelDeploymentSpec {
    /// The model and where its files come from.
    pub model: Model,
    /// The program that serves it.
    pub runtime: Runtime,
    /// Replicas over the whole fleet.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100_000))]
    pub replicas: i32,
    /// Where replicas run.
    #[serde(default)]
    pub placement: Placement,
    /// How the replicas of one cluster are reached there.
    #[serde(default)]
    pub service: ServiceSpec,
    /// When and how replicas leave a cluster that is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// In which order a change reaches the clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Let load decide the number of replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
}

fn one() -> i32 {
    1
}

/// When and how replicas leave a cluster that is lost.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// Seconds without contact before replicas are made elsewhere.
    #[schemars(range(min = 10, max = 86_400))]
    pub grace_period_seconds: i32,
}

/// In which order a change reaches the clusters.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Clusters that get a change first, in this order; the others follow together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub canary_clusters: Vec<String>,
    /// Stop before the next wave until it is false again.
    #[serde(default)]
    pub paused: bool,
}

/// Let load decide the number of replicas.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Never fewer.
    #[schemars(range(min = 0))]
    pub min_replicas: i32,
    /// Never more.
    #[schemars(range(min = 1))]
    pub max_replicas: i32,
    /// Requests in flight per replica to aim at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub target_in_flight: Option<i32>,
}

impl UnsupportedFields for ModelDeploymentSpec {
    fn unsupported_fields(&self) -> Vec<String> {
        let checks = [
            (self.model.bucket.is_some(), "spec.model.bucket"),
            (self.placement.strategy != Strategy::RoundRobin, "spec.placement.strategy other than RoundRobin"),
            (!self.placement.spread.is_empty(), "spec.placement.spread"),
            (self.placement.min_clusters.is_some(), "spec.placement.minClusters"),
            (self.placement.residency.is_some(), "spec.placement.residency"),
            (self.placement.data_locality == DataLocality::Preferred, "spec.placement.dataLocality Preferred"),
            (self.failover.is_some(), "spec.failover"),
            (self.rollout.is_some(), "spec.rollout"),
            (self.autoscaling.is_some(), "spec.autoscaling"),
        ];
        checks.into_iter().filter(|(set, _)| *set).map(|(_, path)| path.to_owned()).collect()
    }
}
