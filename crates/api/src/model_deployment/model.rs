//! The model and where its files come from.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::rules::{manifest_digest, object_name};

/// A model: its name to clients, and exactly one place its files come from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.datasetReplica), has(self.bucket), has(self.image)].filter(x, x).size() == 1")
        .message("give exactly one of datasetReplica, bucket and image"),
)]
pub struct Model {
    /// The name clients ask for.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The directory the runtime finds the files in.
    #[serde(default = "models")]
    #[schemars(length(max = 255))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^/[^\s:]+$')")
        .message("must be an absolute path below /, without white space or ':'"))]
    pub mount_path: String,
    /// From a dataset that is mirrored to a bucket near each cluster. Pods start only where that copy is verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset_replica: Option<DatasetReplicaModel>,
    /// From one bucket for all clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketModel>,
    /// In the runtime's image already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageModel>,
}

fn models() -> String {
    "/models".to_owned()
}

/// A model in a mirrored dataset.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DatasetReplicaModel {
    /// A DatasetReplica in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = object_name())]
    pub name: String,
    /// Only objects whose key in the dataset starts with it; the rest of the key is the file's path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub path: String,
    /// Serve exactly this version of the dataset, `sha256:…`, and not the newest verified one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    #[x_kube(validation = manifest_digest())]
    pub digest: Option<String>,
}

/// A model in one bucket.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BucketModel {
    /// A Bucket in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = object_name())]
    pub name: String,
    /// Only objects whose key starts with it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub path: String,
}

/// A model in the runtime's image.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ImageModel {}
