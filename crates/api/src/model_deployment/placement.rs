//! Where replicas run.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::{Provider, TaintEffect};
use crate::rules::{label_key, label_value, object_names};

/// Which clusters may hold replicas, and how the replicas are shared out among them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.weights) || size(self.weights) == 0 || self.strategy == 'Weighted'")
        .message("weights go with the strategy Weighted"),
    validation = Rule::new("!has(self.minClusters) || !has(self.spread) || self.spread.all(bounds, bounds.by != 'cluster' || !has(bounds.maxPlaces) || self.minClusters <= bounds.maxPlaces)")
        .message("minClusters must not be above maxPlaces of the spread by cluster"),
    validation = Rule::new("!has(self.gang) || !has(self.spread) || self.spread.all(bounds, !has(bounds.maxReplicas) || self.gang.groupSize <= bounds.maxReplicas)")
        .message("gang.groupSize must not be above maxReplicas of a spread, or no group would fit anywhere"),
)]
pub struct Placement {
    /// Only Clusters with these labels; all when absent. Besides its own labels a Cluster has `skyfleet.dev/provider`,
    /// `topology.kubernetes.io/region` and `topology.kubernetes.io/zone` from its spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::label_selector")]
    pub cluster_selector: Option<LabelSelector>,
    /// Only Clusters whose name, provider, region or zone is so; all of these hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub cluster_fields: Vec<FieldRequirement>,
    /// Taints of Clusters that do not keep these replicas away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// How replicas are shared out.
    #[serde(default)]
    pub strategy: Strategy,
    /// For the strategy `Weighted`: the weights of clusters. One that is not named has the weight 1.
    // The API server gives up on comparing some 950 names with one another, and says so in words of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.map(one, one.clusters.size()).sum() <= 512")
        .message("name at most 512 clusters in all"))]
    #[x_kube(validation = Rule::new("self.map(one, one.clusters.size()).sum() > 512 || self.all(one, self.filter(other, sets.intersects(one.clusters, other.clusters)).size() <= 1)")
        .message("a cluster has one weight: name it in one entry only"))]
    pub weights: Vec<Weight>,
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
    /// Whether replicas run on nodes that the cloud may take away at short notice.
    #[serde(default)]
    pub capacity_type: CapacityType,
    /// Replicas that are of use only together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gang: Option<Gang>,
    /// Move replicas that run, to where the strategy would have them now. Without it nothing moves that need not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<Rebalance>,
}

/// What a field of a Cluster must be.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.field != 'provider' || self.values.all(value, value in ['aws', 'azure', 'gcp', 'onPremises'])")
        .message("a provider is one of aws, azure, gcp and onPremises"),
)]
pub struct FieldRequirement {
    /// The field.
    pub field: ClusterField,
    /// How it is compared.
    pub operator: FieldOperator,
    /// The values.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    pub values: Vec<String>,
}

/// A field of a Cluster.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum ClusterField {
    /// `metadata.name`.
    Name,
    /// `spec.provider`.
    Provider,
    /// `spec.region`.
    Region,
    /// `spec.zone`; empty when it has none.
    Zone,
}

/// How a field is compared.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOperator {
    /// It is one of the values.
    In,
    /// It is none of the values.
    NotIn,
}

/// The weight of some clusters.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Weight {
    /// The Clusters, by name.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set, validation = object_names())]
    pub clusters: Vec<String>,
    /// Their weight: a cluster of weight 2 gets twice as many replicas as one of weight 1, and one of weight 0 none.
    #[schemars(range(min = 0, max = 1000))]
    pub weight: i32,
}

/// Whether replicas run on nodes that the cloud may take away at short notice.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CapacityType {
    /// On any node.
    #[default]
    Any,
    /// Only on nodes that stay.
    OnDemand,
    /// Only on spot or preemptible nodes.
    Spot,
    /// On nodes that stay, as long as there are such.
    PreferOnDemand,
    /// On spot or preemptible nodes, as long as there are such.
    PreferSpot,
}

/// Replicas that are of use only together.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Gang {
    /// Replicas come in groups of so many; a group is in one cluster, whole, or not at all. A remainder that fills no group
    /// is not placed.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub group_size: i32,
    /// Place all replicas or none: nothing is started until there is room for all of them.
    #[serde(default)]
    pub all_or_nothing: bool,
}

fn one() -> i32 {
    1
}

/// How fast replicas that run may move to better places.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// At most so many replicas move in an hour. Each is replaced before it goes.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas_per_hour: i32,
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

/// Bounds on replicas by one kind of place. Upper bounds are never passed: a replica that would is not placed. Lower bounds
/// come before the strategy; where they cannot be kept, replicas are placed all the same and the status says so.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.minPlaces) || !has(self.maxPlaces) || self.minPlaces <= self.maxPlaces")
        .message("minPlaces must not be above maxPlaces"),
    validation = Rule::new("!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas")
        .message("minReplicas must not be above maxReplicas"),
    validation = Rule::new("[has(self.maxSkew), has(self.minPlaces), has(self.maxPlaces), has(self.minReplicas), has(self.maxReplicas)].exists(x, x)")
        .message("give at least one of maxSkew, minPlaces, maxPlaces, minReplicas and maxReplicas"),
)]
pub struct Spread {
    /// The kind of place.
    pub by: TopologyKey,
    /// Eligible places may differ by at most so many replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_skew: Option<i32>,
    /// Replicas are in at least so many places.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_places: Option<i32>,
    /// Replicas are in at most so many places.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_places: Option<i32>,
    /// Every eligible place gets at least so many, as long as there are enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub min_replicas: Option<i32>,
    /// No place gets more than so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_replicas: Option<i32>,
}

/// A kind of place.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

impl Residency {
    /// Whether the model may be in a region of a provider.
    #[must_use]
    pub fn allows(&self, provider: Provider, region: &str) -> bool {
        self.allows_provider(provider) && self.allows_region(region)
    }

    /// Whether it may be with a provider, whatever the region.
    #[must_use]
    pub fn allows_provider(&self, provider: Provider) -> bool {
        self.providers.is_empty() || self.providers.contains(&provider)
    }

    /// Whether it may be in a region, whoever the provider is.
    #[must_use]
    pub fn allows_region(&self, region: &str) -> bool {
        self.regions.is_empty() || self.regions.iter().any(|allowed| allowed == region)
    }
}

/// Whether a verified copy of the model's data near the cluster is a must.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataLocality {
    /// Only clusters that a bucket of the dataset lies near; pods start once the copy there is verified.
    #[default]
    Required,
    /// Such clusters first; others too, which load from a verified copy further away.
    Preferred,
}
