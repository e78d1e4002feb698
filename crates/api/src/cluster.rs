//! `Cluster`: a member of the fleet.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::references::{LocalReference, SecretKeyReference};
use crate::rules::{label_key, label_value};

/// A member cluster: where it is, how to reach it, and what may be used of it.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "skyfleet.dev",
    version = "v1alpha1",
    kind = "Cluster",
    doc = "A member cluster of the fleet: where it is, how to reach it, and what may be used of it.",
    status = "ClusterStatus",
    derive = "PartialEq",
    shortname = "skc",
    category = "skyfleet",
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("the name becomes the value of a label on objects in the member: at most 63 characters"),
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.region"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reachable", type_ = "string", json_path = ".status.conditions[?(@.type=='Reachable')].status"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    /// Who runs the cluster.
    pub provider: Provider,
    /// The provider's region, such as `eu-central-1`; for an on-premises cluster a name of your own.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = label_value())]
    pub region: String,
    /// The zone within the region, when the whole cluster lies in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = label_value())]
    pub zone: Option<String>,
    /// The network that its pods are in, with the meaning of Istio's label `topology.istio.io/network`: clusters of one network reach each
    /// other's pods directly, as with peered VPCs, Cilium Cluster Mesh or Submariner. Gateways there send requests to each pod by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = label_value())]
    pub network: Option<String>,
    /// How the hub reaches the cluster's API server.
    pub connection: Connection,
    /// Keeps replicas away that do not tolerate them, as the taints of a node do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".to_owned(), "effect".to_owned()]))]
    pub taints: Vec<Taint>,
    /// Price of one unit of a resource (`cpu`, `memory` in GiB, `nvidia.com/gpu`) for an hour, as a decimal number in one
    /// currency for the whole fleet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::prices")]
    #[x_kube(validation = Rule::new(r"self.all(resource, self[resource].matches(r'^[0-9]+(\.[0-9]{1,9})?$'))")
        .message("a price is a decimal number in quotes, such as \"0.04\""))]
    pub prices: BTreeMap<String, String>,
    /// What a GB (10^9 bytes) that leaves the cluster's cloud costs, as a decimal number, in one currency for the whole fleet. By it gateways
    /// elsewhere prefer, of clusters that answer nearly as soon, those whose answers cost less.
    #[serde(rename = "egressPricePerGB", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^[0-9]+(\.[0-9]{1,9})?$')")
        .message("must be a decimal number in quotes, such as \"0.09\""))]
    pub egress_price_per_gb: Option<String>,
    /// Whether the room that its nodes have now is all there is.
    #[serde(default)]
    pub capacity_policy: CapacityPolicy,
    /// The most that Skyfleet may use of each resource here, all ModelDeployments together.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::amounts")]
    pub limits: BTreeMap<String, Quantity>,
}

/// Who runs a cluster.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub enum Provider {
    /// Amazon Web Services.
    Aws,
    /// Microsoft Azure.
    Azure,
    /// Google Cloud.
    Gcp,
    /// The owner's own machines.
    OnPremises,
}

impl Provider {
    /// The word used in manifests and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
            Self::OnPremises => "onPremises",
        }
    }
}

/// How the hub reaches a cluster's API server: by its address, authority and credentials, or by a kubeconfig of which only
/// these are taken. Secrets are read from the operator's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.kubeconfigSecretRef) != has(self.server)")
        .message("give either kubeconfigSecretRef, or server with credentialsSecretRef"),
    validation = Rule::new("has(self.server) == has(self.credentialsSecretRef)")
        .message("server and credentialsSecretRef go together"),
    validation = Rule::new("!has(self.caBundle) || has(self.server)")
        .message("caBundle goes with server; a kubeconfig carries its own authority"),
)]
pub struct Connection {
    /// The API server's address, `https://` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^https://[^\s/?#@]+(/[^\s?#]*)?$')")
        .message("must be https://HOST[:PORT][/PATH], without user or query"))]
    pub server: Option<String>,
    /// Certificate authorities that sign the API server's certificate, PEM, base64-encoded; the system's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "byte"))]
    pub ca_bundle: Option<ByteString>,
    /// A Secret with either `token` (a bearer token) or `tls.crt` and `tls.key` (a client certificate).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalReference>,
    /// A Secret with a kubeconfig. Server, authority, token and client certificate of its current context are taken; exec,
    /// auth-provider, file paths, proxies and skipped verification are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret_ref: Option<SecretKeyReference>,
}

/// Keeps replicas away from a cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    /// The taint's key.
    #[schemars(length(min = 1, max = 316))]
    #[x_kube(validation = label_key())]
    pub key: String,
    /// The taint's value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = label_value())]
    pub value: String,
    /// What it does to replicas that do not tolerate it.
    pub effect: TaintEffect,
}

/// Whether the room that a cluster's nodes have now is all there is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CapacityPolicy {
    /// It is: no replica comes that no node has room for.
    #[default]
    Measured,
    /// More nodes come when pods wait for them (a cluster autoscaler, Karpenter, virtual nodes): only `limits` bound it.
    Elastic,
}

/// What a taint does.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaintEffect {
    /// No new replica comes.
    NoSchedule,
    /// No new replica comes, and those there go once others serve in their place.
    NoExecute,
}

/// What is known of a cluster. Unknown is absent, never zero.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The generation of the spec this status answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reachable, CredentialsValid, and Reconciling or Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The version of the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Nodes that are Ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<i32>,
    /// Allocatable of all Ready nodes, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub allocatable: BTreeMap<String, Quantity>,
    /// Requests of all pods that are not finished, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub allocated: BTreeMap<String, Quantity>,
    /// Round trip of a small request in milliseconds, rounded up to 1, 2, 5, 10, 20, 50, … and renewed only when it changes
    /// by far. The metrics have it exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_milliseconds: Option<i32>,
    /// When the cluster last answered before contact was lost; absent while it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_contact: Option<Time>,
    /// When contact was lost last, if ever; it stays when the cluster is back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_loss: Option<Time>,
    /// How unsteady contact had been at that loss: 1000 for each loss, and half as much every 15 minutes. A cluster above
    /// 3000 takes no new replica until it has fallen to 750 (route flap damping, RFC 2439).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flap_penalty: Option<i32>,
}
