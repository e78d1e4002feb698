//! `ModelDeployment`: a model served by replicas all over the fleet.

mod autoscaling;
mod failover;
mod model;
mod placement;
mod rollout;
mod runtime;
mod status;

pub use autoscaling::{Autoscaling, AutoscalingStatus};
pub use failover::{Displaced, Failback, Failover, MovePolicy, Shortfall, ShortfallCause};
pub use model::{BucketModel, DatasetReplicaModel, ImageModel, Model};
pub use placement::{
    CapacityType, ClusterField, DataLocality, FieldOperator, FieldRequirement, Gang, Placement, Rebalance, Residency,
    Spread, Strategy, Toleration, TolerationOperator, TopologyKey, Weight,
};
pub use rollout::{FailurePolicy, Rollout, RolloutPhase, RolloutStatus, Wave};
pub use runtime::{Preset, Probes, Runtime, RuntimeMetrics, ServiceSpec, ServiceType};
pub use status::{ModelDeploymentStatus, PlacementStatus, RebalanceStatus};

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
    validation = Rule::new("!has(self.autoscaling) || !has(self.placement.gang) || self.placement.gang.groupSize <= self.autoscaling.maxReplicas")
        .message("placement.gang.groupSize must not be above autoscaling.maxReplicas, or no group would ever start"),
    validation = Rule::new("!has(self.autoscaling) || !has(self.autoscaling.targetInFlight) || self.runtime.preset != 'custom' || (has(self.runtime.metrics) && has(self.runtime.metrics.inFlight))")
        .message("autoscaling.targetInFlight of a custom program needs runtime.metrics.inFlight"),
    validation = Rule::new("!has(self.autoscaling) || !has(self.autoscaling.targetQueued) || self.runtime.preset != 'custom' || (has(self.runtime.metrics) && has(self.runtime.metrics.queued))")
        .message("autoscaling.targetQueued of a custom program needs runtime.metrics.queued"),
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
    /// When replicas are made elsewhere for those of a cluster that is lost or where they do not serve.
    #[serde(default)]
    pub failover: Failover,
    /// In which order a change reaches the clusters; all at once when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Let load decide the number of replicas; `replicas` then says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
}

fn one() -> i32 {
    1
}

impl UnsupportedFields for ModelDeploymentSpec {
    fn unsupported_fields(&self) -> Vec<String> {
        let checks = [(self.model.bucket.is_some(), "spec.model.bucket")];
        checks.into_iter().filter(|(set, _)| *set).map(|(_, path)| path.to_owned()).collect()
    }
}
