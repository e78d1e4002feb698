//! The program that serves a model, and the Service in front of it in each cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, Probe, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::metric_name;

/// The program that serves a model: a preset that knows the common ones, or an image of your own.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.preset != 'custom' || (has(self.image) && has(self.port))")
        .message("the custom preset needs image and port"),
    validation = Rule::new("self.preset != 'custom' || !has(self.metrics) || !has(self.metrics.errors) || has(self.metrics.requests)")
        .message("metrics.errors are judged as a share of metrics.requests: give both"),
)]
pub struct Runtime {
    /// What is known of the program: how it is told its model and port, and which path says that it is ready.
    #[serde(default)]
    pub preset: Preset,
    /// The image; the preset's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(r"!self.matches(r'\s')").message("must not contain white space"))]
    pub image: Option<String>,
    /// `Always`, `IfNotPresent` or `Never`; Kubernetes' own rule when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self in ['Always', 'IfNotPresent', 'Never']")
        .message("must be Always, IfNotPresent or Never"))]
    pub image_pull_policy: Option<String>,
    /// Arguments, added to the preset's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub args: Vec<String>,
    /// Environment variables of the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub env: Vec<EnvVar>,
    /// The port it listens on; the preset's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,
    /// Probes that differ from the preset's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<Probes>,
    /// What one replica needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::resource_requirements")]
    pub resources: Option<ResourceRequirements>,
    /// Memory that each GPU of a replica must have. Only nodes whose label `nvidia.com/gpu.memory` (MiB, set by NVIDIA's
    /// GPU feature discovery) says so count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::gpu_memory")]
    pub gpu_memory: Option<Quantity>,
    /// Where the program's load is read, when it differs from the preset's; a custom program has none unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<RuntimeMetrics>,
    /// A PodTemplateSpec laid over the one Skyfleet makes: maps are merged, containers, volumes and variables by name. The
    /// container that serves is named `runtime`, the one that loads the model `load-model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::any_object")]
    pub pod_template: Option<serde_json::Value>,
}

/// Where a program's load is read, in Prometheus' text format. Metrics of one name with several label sets are added up.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeMetrics {
    /// The path.
    #[serde(default = "metrics_path")]
    #[schemars(length(max = 255))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^/\S*$')").message("must be a path that begins with /"))]
    pub path: String,
    /// The port; the runtime's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,
    /// A gauge: requests being answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = metric_name())]
    pub in_flight: Option<String>,
    /// A gauge: requests waiting to be taken up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = metric_name())]
    pub queued: Option<String>,
    /// A counter: requests that were answered, well or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = metric_name())]
    pub requests: Option<String>,
    /// A counter: requests among them that failed by the program's fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = metric_name())]
    pub errors: Option<String>,
    /// A histogram: seconds to the first token, or to the answer where there are no tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = metric_name())]
    pub time_to_first_token: Option<String>,
}

fn metrics_path() -> String {
    "/metrics".to_owned()
}

/// A program that is known.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Preset {
    /// Nothing is known: image and port are needed.
    #[default]
    Custom,
    /// vLLM's OpenAI-compatible server.
    Vllm,
    /// Hugging Face Text Embeddings Inference.
    Tei,
    /// NVIDIA Triton Inference Server.
    Triton,
    /// The server of llama.cpp.
    LlamaCpp,
}

/// Probes of the container that serves.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Probes {
    /// Requests come only while it succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
    /// The container is restarted when it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
    /// The others wait for it: give a large model its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup: Option<Probe>,
}

/// The Service in front of the replicas of one cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// How far it is reached.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,
    /// The Service's port; the runtime's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,
    /// Annotations for the cloud's load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where gateways outside of the cluster reach it, instead of the Service's own address: `host:port` of an Ingress or whatever else leads to
    /// it, made by others. `$(CLUSTER)` stands for the Cluster's name. Where it is a name, requests ask for that name
    /// (`Host`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(
        r"self.replace('$(CLUSTER)', 'c').matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*:[1-9][0-9]{0,4}$')")
        .message("must be host:port, such as $(CLUSTER).models.example.com:443"))]
    pub external_address: Option<String>,
}

/// How far a Service is reached.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    /// Within the cluster.
    #[default]
    ClusterIP,
    /// At a port of every node.
    NodePort,
    /// At an address of the cloud's load balancer.
    LoadBalancer,
}
