//! `ModelRoute`: which requests the replicas of which models answer, and how the gateway shares them out.

mod affinity;
mod backends;
mod balancing;
mod limits;
mod resilience;
mod status;

pub use affinity::{Affinity, Cookie, Header, PromptPrefix};
pub use backends::{Backend, Protocol, Shadow, UpstreamTls};
pub use balancing::{Algorithm, Locality, LocalityPolicy};
pub use limits::{ClientLimits, Queue, RouteLimits, TotalLimits};
pub use resilience::{HealthCheck, Hedging, OutlierEjection, Retries, Timeouts};
pub use status::{BackendStatus, ModelRouteStatus, RouteClusterStatus};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which requests the replicas of which ModelDeployments answer, and how they are shared out among the replicas.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "skyfleet.dev",
    version = "v1alpha1",
    kind = "ModelRoute",
    namespaced,
    doc = "Which requests the replicas of which ModelDeployments answer, and how they are shared out among the replicas. Of several \
           that match a request, the one with the most specific host takes it, then the one with the longest path prefix, then one \
           that names the model, and of equals the oldest.",
    status = "ModelRouteStatus",
    derive = "PartialEq",
    shortname = "skr",
    category = "skyfleet",
    printcolumn(name = "Algorithm", type_ = "string", json_path = ".spec.algorithm"),
    printcolumn(name = "Endpoints", type_ = "string", json_path = ".status.ready"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.hosts) && size(self.hosts) > 0, has(self.pathPrefixes) && size(self.pathPrefixes) > 0, \
     has(self.models) && size(self.models) > 0].exists(given, given)")
    .message("say which requests are meant: give at least one of hosts, pathPrefixes and models"))]
pub struct ModelRouteSpec {
    /// Only requests to these hosts: `api.example.com`, or `*.example.com` for every name below `example.com`. Every host if not given.
    /// Ports do not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new(r"self.all(host, host.matches(r'^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))")
            .message("each must be the name of a host in lower case, without port, such as api.example.com or *.example.com"),
    )]
    pub hosts: Vec<String>,
    /// Only requests whose path begins with one of these, segment by segment: `/v1` is the beginning of `/v1/models` and not of `/v10`.
    /// Every path if not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 255)))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new(r"self.all(prefix, prefix.matches(r'^/[^\s?#]*$'))")
            .message("each must begin with / and have no white space, '?' or '#'"),
    )]
    pub path_prefixes: Vec<String>,
    /// Only requests whose JSON has one of these in the field `model`, as those of OpenAI's API. If not given, the gateway does not look
    /// into requests to find the route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub models: Vec<String>,
    /// The ModelDeployments that answer, each named once.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        validation = Rule::new(
            "self.all(one, self.exists_one(other, other.modelDeploymentRef.name == one.modelDeploymentRef.name))")
            .message("a ModelDeployment has one weight: name it in one backend only"),
        validation = Rule::new("self.exists(one, !has(one.weight) || one.weight > 0)")
            .message("no backend would get a request: give at least one a weight above 0"),
    )]
    pub backends: Vec<Backend>,
    /// A ModelDeployment that is sent copies of requests, to try it out; none if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// Which of the replicas gets a request: each in turn (RoundRobin), the one with the fewest requests in flight (LeastConnection), or
    /// the one that is expected to answer soonest (LeastResponseTime).
    #[serde(default)]
    pub algorithm: Algorithm,
    /// Which clusters get requests.
    #[serde(default)]
    pub locality: Locality,
    /// Which requests go to the same replica, by consistent hashing: when replicas come or go, most requests stay where they were. One
    /// without what is hashed goes where the algorithm has it, and so do all if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How long the gateway waits for replicas.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Send a request that failed once more, to another replica if there is one, as long as nothing of an answer went to the client.
    #[serde(default)]
    pub retries: Retries,
    /// Send a request that takes long to a second replica too, and take the answer that comes first; never if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedging: Option<Hedging>,
    /// When a replica that fails gets no requests for a while.
    #[serde(default)]
    pub outlier_ejection: OutlierEjection,
    /// Ask each replica, all the time, whether it is well; if not given, its readiness in its cluster and the answers to requests tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Seconds in which the share of a replica that is new, or was ejected, grows from little to the whole; with 0 it has that at once.
    #[serde(default)]
    #[schemars(range(min = 0, max = 900))]
    pub slow_start_seconds: i32,
    /// What is let through at most.
    #[serde(default)]
    pub limits: RouteLimits,
    /// What the gateway speaks to the replicas: HTTP/1.1 (HTTP), or HTTP/2 (GRPC), where there is no TLS with prior knowledge. What clients
    /// speak is up to them.
    #[serde(default)]
    pub protocol: Protocol,
    /// Speak TLS to the replicas, and not to what is in between, such as a load balancer of the cloud; in clear text if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// What carries the route out, each by itself: Skyfleet's own gateway, or a load balancer of yours that an agent beside it
    /// (`skyfleet lb-agent`) keeps to it. What one of those cannot do is in the condition `Limited`.
    #[serde(default = "gateway")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub drivers: Vec<Driver>,
    /// Take no requests by this route until it is false again: they are answered as if it were not there.
    #[serde(default)]
    pub suspend: bool,
}

fn gateway() -> Vec<Driver> {
    vec![Driver::Gateway]
}

/// A proxy that carries routes out.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Driver {
    /// Skyfleet's own gateway.
    Gateway,
    /// NGINX.
    #[serde(rename = "NGINX")]
    Nginx,
    /// HAProxy.
    HAProxy,
    /// Apache HTTP Server.
    Apache,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_backend_without_weight_has_the_weight_one() {
        let mut backend: Backend =
            serde_json::from_value(json!({ "modelDeploymentRef": { "name": "minilm" } })).unwrap();
        assert_eq!(backend.weight(), 1);
        backend.weight = Some(0);
        assert_eq!(backend.weight(), 0);
    }
}
