//! Who answers, and what is spoken to them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::references::LocalReference;

// No field of it has a default: one within a list would differ from what GitOps tools apply.
/// A ModelDeployment that answers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// A ModelDeployment in the same namespace.
    pub model_deployment_ref: LocalReference,
    /// How many of the requests it gets, beside the weights of the others; 1 if not given, and none with 0. While no replica of it is
    /// ready, the others share its requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub weight: Option<i32>,
    /// What the field `model` of requests becomes that are sent to it; it stays as it is if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub model_name: Option<String>,
}

impl Backend {
    /// The weight, 1 if not given.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.map_or(1, |weight| weight.try_into().unwrap_or_default())
    }
}

/// A ModelDeployment that is sent copies of requests. Nobody waits for its answers, and they are thrown away.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Shadow {
    /// A ModelDeployment in the same namespace.
    pub model_deployment_ref: LocalReference,
    /// The share of requests that are sent there too, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub percent: i32,
    /// What the field `model` of these copies becomes; it stays as it is if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub model_name: Option<String>,
}

/// What is spoken to replicas.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/2.
    Grpc,
}

/// How TLS is spoken to replicas.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamTls {
    /// A Secret in the same namespace with `ca.crt`: the authorities (PEM) of which one has signed the replicas' certificates. Those that
    /// the gateway's system trusts if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<LocalReference>,
    /// A Secret in the same namespace with `tls.crt` and `tls.key` (PEM): the certificate that the gateway shows; none if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<LocalReference>,
    /// The name that the replicas' certificates have, also sent as SNI; the host of each endpoint's address if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("must be the name of a host in lower case, such as models.example.com"))]
    pub server_name: Option<String>,
}
