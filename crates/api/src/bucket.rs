//! `Bucket`: a place for objects in one cloud.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::Rule;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::references::LocalReference;
use crate::rules::{label_value, not_reserved, object_name};

/// A bucket of an object store, or the part of it below a prefix.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "skyfleet.dev",
    version = "v1alpha1",
    kind = "Bucket",
    namespaced,
    doc = "A bucket of an object store in one cloud, or the part of it below a prefix.",
    status = "BucketStatus",
    derive = "PartialEq",
    shortname = "skb",
    category = "skyfleet",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
    printcolumn(name = "Bucket", type_ = "string", json_path = ".spec.name"),
    printcolumn(name = "Prefix", type_ = "string", json_path = ".spec.prefix", priority = "1"),
    printcolumn(name = "Near", type_ = "string", json_path = ".spec.near.cluster"),
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
#[x_kube(
    validation = Rule::new(
        "[has(self.credentialsSecretRef), has(self.workloadIdentity), has(self.anonymous) && self.anonymous]\
            .filter(given, given).size() == 1"
    )
    .message("give one of credentialsSecretRef, workloadIdentity and anonymous"),
    validation = Rule::new(
        "!has(self.endpoint) || self.provider == 'azureBlob' || !self.endpoint.matches('^[a-z]+://[^/]+/.')"
    )
    .message("endpoint must be without path: the bucket's name is spec.name")
    .field_path(".endpoint"),
    validation = Rule::new("has(self.account) == (self.provider == 'azureBlob')")
        .message("account is the storage account's name: give it with provider azureBlob, and with no other"),
    validation = Rule::new("self.provider != 'gcs' || !has(self.notifications) || !has(self.notifications.queue)")
        .message("subscriptions of Pub/Sub are not read: let one push to notifications.webhook"),
)]
pub struct BucketSpec {
    /// The store's interface: `s3` is also what every S3-compatible store speaks.
    #[x_kube(validation = stays())]
    pub provider: StoreProvider,
    /// The store's address where it is not the provider's own, such as `https://minio.example.com:9000`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^https?://[^\s/?#@]+(/[^\s?#@]*)?$')")
        .message("must be https://HOST[:PORT][/PATH] or http://HOST[:PORT][/PATH], without user or query"))]
    pub endpoint: Option<String>,
    /// The region the bucket lies in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = label_value())]
    pub region: Option<String>,
    /// The bucket's name in the store (for `azureBlob` the container's).
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')")
        .message("must be a bucket's name: a-z, 0-9, '.' and '-', a letter or digit at both ends"), validation = stays())]
    pub name: String,
    /// The storage account's name (`azureBlob` only).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]+$')").message("must be a storage account's name: a-z, 0-9"),
        validation = stays())]
    pub account: Option<String>,
    /// Only the objects whose key starts with it are seen, and keys are relative to it. Usually ends with `/`.
    #[serde(default)]
    #[schemars(length(max = 512))]
    #[x_kube(validation = not_reserved(), validation = stays())]
    pub prefix: String,
    /// A Secret in the same namespace. For `s3` with `accessKeyId`, `secretAccessKey` and, for temporary ones, `sessionToken`; for
    /// `azureBlob` with `accountKey` or `sasToken`; for `gcs` with `serviceAccountKey`, the key's JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalReference>,
    /// Ask with an identity of the cloud, and no Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentity>,
    /// Ask as nobody: for a public bucket, which then can be a source only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
    /// By what Skyfleet is told of objects that change, for DatasetReplicas in mode Stream that read this bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<Notifications>,
    /// What a GB (10^9 bytes) that leaves the bucket's cloud costs, as a decimal number, in the currency of `egressCost`.
    #[serde(rename = "egressPricePerGB", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^[0-9]+(\.[0-9]{1,9})?$')")
        .message("must be a decimal number in quotes, such as \"0.09\""))]
    pub egress_price_per_gb: Option<String>,
    /// What the bucket lies close to: pods there load from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<Near>,
}

/// With another one of these, what was mirrored from or to the bucket would be mixed with something else.
fn stays() -> Rule {
    Rule::new("self == oldSelf")
        .message("a Bucket cannot become another bucket, so provider, name and prefix stay: make a new Bucket")
}

/// An object store's interface.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum StoreProvider {
    /// Amazon S3 and every store that speaks it.
    S3,
    /// Azure Blob Storage.
    AzureBlob,
    /// Google Cloud Storage.
    Gcs,
}

/// An identity of the cloud that a ServiceAccount has (IRSA, Azure Workload Identity, Workload Identity Federation of Google).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentity {
    /// The ServiceAccount that may use the bucket. On the hub it is in the Bucket's namespace, and its annotations name the identity:
    /// `eks.amazonaws.com/role-arn` for `s3`; `azure.workload.identity/client-id` and `azure.workload.identity/tenant-id` for
    /// `azureBlob`; `skyfleet.dev/gcp-workload-identity-provider` and, to act as a service account, `iam.gke.io/gcp-service-account`
    /// for `gcs`. In a member, pods that load from the bucket run under the ServiceAccount of this name in their namespace. Without a
    /// name the operator uses its own identity, where its chart allows that, and pods that of the environment they run in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = object_name())]
    pub service_account_name: Option<String>,
}

/// By what Skyfleet is told of objects that change. What is told only says where to look: it may come late, twice, in any order, or
/// not at all.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.queue) || has(self.webhook)").message("give queue, webhook or both"))]
pub struct Notifications {
    /// A queue that the bucket's cloud fills and Skyfleet reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// A path of Skyfleet's that the bucket's cloud, or a program that writes to the bucket, sends to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// A queue with notifications of one bucket, for Skyfleet alone.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// For `s3` a queue of Amazon SQS that the bucket notifies, by SNS or not, such as
    /// `https://sqs.eu-west-1.amazonaws.com/123456789012/changes`; for `azureBlob` a queue of Azure Storage that Event Grid delivers
    /// to, such as `https://ACCOUNT.queue.core.windows.net/changes`. It is read by who asks the bucket.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^https?://[^\s/?#@]+(/[^\s?#@/]+)+$')")
        .message("must be https://HOST[:PORT]/QUEUE, without user, query or slash at its end"))]
    pub url: String,
}

/// `POST /notifications/NAMESPACE/BUCKET` at the operator, with the names of this object: notifications of S3 (by EventBridge, MinIO or
/// Ceph), of Azure Event Grid, of Google Cloud Storage by Pub/Sub or Eventarc, or `{"keys": ["a/b", ...]}`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// A Secret in the same namespace. Who sends shows its `token`, as `Authorization: Bearer TOKEN` or as `?token=TOKEN`.
    pub token_secret_ref: LocalReference,
}

/// What a bucket lies close to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.cluster) != has(self.region)").message("give either cluster or region"))]
pub struct Near {
    /// The name of a Cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = object_name())]
    pub cluster: Option<String>,
    /// A region: the bucket is near every Cluster with this `spec.region`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = label_value())]
    pub region: Option<String>,
}

impl Near {
    /// Whether a Cluster of this name in this region is meant.
    #[must_use]
    pub fn covers(&self, cluster: &str, region: &str) -> bool {
        self.cluster.as_deref() == Some(cluster) || self.region.as_deref() == Some(region)
    }
}

/// What is known of a bucket.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BucketStatus {
    /// The generation of the spec this status answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and Reconciling or Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// What the store was found to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// The resourceVersion of the Secret or ServiceAccount that this was found with: another one is a reason to look anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_version: Option<String>,
}

/// What an object store was found to do, by trying.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Objects can be written.
    pub writable: bool,
    /// A write can be made conditional on the object's absence.
    pub conditional_writes: bool,
    /// Checksum algorithms that the store checks and gives back.
    #[serde(default)]
    pub checksums: Vec<String>,
    /// The bucket keeps old versions; absent when the credentials may not ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versioning: Option<bool>,
}
