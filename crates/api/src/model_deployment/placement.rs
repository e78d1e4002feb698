//! Where replicas run.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::{Provider, TaintEffect};
use crate::rules::{label_key, label_value};

/// Which clusters may hold replicas, and how the replicas are shared out among them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Only Clusters with these labels; all when absent. Besides its own labels a Cluster has `skyfleet.dev/provider`,
    /// `topology.kubernetes.io/region` and `topology.kubernetes.io/zone` from its spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::label_selector")]
    pub cluster_selector: Option<LabelSelector>,
    /// Taints of Clusters that do not keep these replicas away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// How replicas are shared out.
    #[serde(default)]
    pub strategy: Strategy,
    /// Bounds on replicas by provider, region or cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["by".to_owned()]))]
    pub spread: Vec<Spread>,
    /// Replicas must be in at least so many clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_clusters: Option<i32>,
    /// Where the model may be at all, by law or contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residency: Option<Residency>,
    /// Whether a verified copy of the model's data near the cluster is a must.
    #[serde(default)]
    pub data_locality: DataLocality,
}

/// Tolerates taints of Clusters, as a pod tolerates those of nodes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.operator != 'Exists' || !has(self.value)").message("Exists takes no value"),
    validation = Rule::new("self.operator == 'Exists' || has(self.key)").message("Equal needs a key"),
)]
pub struct Toleration {
    /// The taint's key; every key when absent (with `Exists`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 316))]
    #[x_kube(validation = label_key())]
    pub key: Option<String>,
    /// How key and value are compared.
    #[serde(default)]
    pub operator: TolerationOperator,
    /// The taint's value, for `Equal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = label_value())]
    pub value: Option<String>,
    /// The taint's effect; every effect when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
}

/// How a toleration is compared with a taint.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TolerationOperator {
    /// Key and value are the same.
    #[default]
    Equal,
    /// The key is there.
    Exists,
}

/// How replicas are shared out among eligible clusters.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// One to each in turn, so that no two differ by more than one.
    #[default]
    RoundRobin,
    /// In proportion to weights.
    Weighted,
    /// Where the fewest requests are in flight for the capacity.
    LeastConnection,
    /// Where answers come soonest.
    LeastResponseTime,
    /// As few clusters as can hold them.
    Binpack,
    /// As even as can be over providers, regions and clusters.
    Spread,
    /// Where they cost least.
    Cheapest,
}

/// Bounds on replicas by one kind of place.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// The kind of place.
    pub by: TopologyKey,
    /// Places may differ by at most so many replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_skew: Option<i32>,
}

/// A kind of place.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum TopologyKey {
    /// The cloud.
    Provider,
    /// The region.
    Region,
    /// The cluster.
    Cluster,
}

/// Where a model may be.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Residency {
    /// Only these providers; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub providers: Vec<Provider>,
    /// Only these regions; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub regions: Vec<String>,
}

/// Whether a verified copy of the model's data near the cluster is a must.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataLocality {
    /// Only clusters that a bucket of the dataset lies near.
    #[default]
    Required,
    /// Other clusters too, which load from afar.
    Preferred,
}
