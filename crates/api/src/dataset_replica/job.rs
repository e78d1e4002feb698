//! Copying as Jobs in a member cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the pods of a Job may use that copies in a member cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JobSettings {
    /// Pods at once.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 100))]
    pub parallelism: u16,
    /// What each of them requests and may use; if not given, 250m CPU and 256Mi are requested, and at most 512Mi used. A pod holds at most
    /// 256 MiB of content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::resource_requirements")]
    pub resources: Option<ResourceRequirements>,
    /// Labels that their nodes have, for example those of spot nodes: one that vanishes costs the objects in flight.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that they tolerate, as in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::tolerations")]
    pub tolerations: Vec<Toleration>,
}

fn four() -> u16 {
    4
}

impl Default for JobSettings {
    fn default() -> Self {
        Self { parallelism: four(), resources: None, node_selector: BTreeMap::new(), tolerations: Vec::new() }
    }
}

/// How far a Job is that copies in a member cluster.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// The Cluster.
    pub cluster: String,
    /// The name of the Job there, and of the Secret with its credentials, in the namespace of this object's name.
    pub name: String,
    /// What it does.
    pub phase: JobPhase,
    /// Ranges of keys that the work is cut into.
    #[serde(default)]
    pub ranges: i64,
    /// Those that were gone through.
    #[serde(default)]
    pub ranges_done: i64,
    /// Objects that its workers have verified, all targets together.
    #[serde(default)]
    pub objects: i64,
    /// Their bytes.
    #[serde(default)]
    pub bytes: i64,
    /// What keeps it; absent while nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a Job does.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JobPhase {
    /// No worker was heard yet.
    #[default]
    Starting,
    /// Workers copy.
    Running,
    /// It has ended, or is to end. Job and Secret are being removed, which takes until the cluster can be reached.
    Removing,
}
