//! `DatasetReplica`: keeps data the same in several buckets.

mod job;
mod transform;
mod versions;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::references::LocalReference;
use crate::rules::{manifest_digest, not_reserved};

pub use job::{JobPhase, JobSettings, JobStatus};
pub use transform::{
    ColumnType, Columns, Compression, DeadLetters, Deduplicate, Mask, MaskKeyReference, MaskMethod, RowExpression,
    RowFilter, RowFormat, RowOperator, RowsStatus, StepStatus, Transform, TransformOutput, TransformStep,
};
pub use versions::{VersionStatus, Versions};

/// Data in one bucket, and the buckets that shall hold it too.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "skyfleet.dev",
    version = "v1alpha1",
    kind = "DatasetReplica",
    namespaced,
    doc = "Data in one bucket, and the buckets that shall hold it too, verified.",
    status = "DatasetReplicaStatus",
    derive = "PartialEq",
    shortname = "skd",
    category = "skyfleet",
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.source.bucketRef.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Objects", type_ = "integer", json_path = ".status.source.objects"),
    printcolumn(name = "Bytes", type_ = "integer", json_path = ".status.source.bytes"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.stream.lagSeconds", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "self.targets.all(t, t.bucketRef.name != self.source.bucketRef.name || \
         !(t.prefix.startsWith(self.source.prefix) || self.source.prefix.startsWith(t.prefix)))")
        .message("a target in the source's own Bucket must lie beside the source, neither within it nor around it: the copy would be copied again"),
    validation = Rule::new(
        "self.targets.all(t, self.targets.exists_one(u, u.bucketRef.name == t.bucketRef.name && \
         (u.prefix.startsWith(t.prefix) || t.prefix.startsWith(u.prefix))))")
        .message("two targets in one Bucket must lie beside each other, neither equal nor one within the other"),
    validation = Rule::new("self.mode == 'Shard' || !has(self.sharding) && self.targets.all(t, !has(t.weight))")
        .message("sharding and the weights of targets say how mode Shard splits the data: set mode to Shard, or leave them out"),
    validation = Rule::new("self.mode != 'Stream' || !has(self.limits) || !has(self.limits.egressCost)")
        .message("limits.egressCost bounds a pass, and mode Stream makes passes all the time: use limits.bandwidth, or another mode"),
    validation = Rule::new("self.mode != 'Stream' || !has(self.source.digest)")
        .message("mode Stream follows what changes, and a version does not: leave out source.digest, or use another mode"),
    validation = Rule::new("!has(self.job) || self.execution != 'InProcess'")
        .message("job says what the pods of a Job may use, and execution InProcess makes none: leave one of them out"),
    validation = Rule::new("self.execution != 'Job' || !has(self.limits) || !has(self.limits.egressCost)")
        .message("limits.egressCost is counted in one place, and the pods of a Job are several: use limits.bandwidth, or another execution"),
    validation = Rule::new("self.execution != 'Job' || !has(self.sharding) || self.sharding.by == 'Hash'")
        .message("who splits by count or size has to see all objects, and a pod of a Job sees a range: split by Hash, or use another execution"),
    validation = Rule::new(
        "!(has(self.sharding) && has(self.sharding.pieceSize) && has(self.transform) && has(self.transform.steps)) || \
         self.transform.steps.all(s, !has(s.deduplicate))")
        .message("deduplicate sees all rows of an object, and of one that is cut into pieces only those of a piece: deduplicate by a \
                  DatasetReplica before this one, or leave out sharding.pieceSize"),
)]
pub struct DatasetReplicaSpec {
    /// Where the data is. It stays, but for the digest: with another source, the targets would mix two datasets.
    #[x_kube(validation = Rule::new(
        "self.bucketRef == oldSelf.bucketRef && self.prefix == oldSelf.prefix && has(self.filters) == has(oldSelf.filters) && \
         (!has(self.filters) || self.filters == oldSelf.filters)")
        .message("the source cannot be changed, since the targets would mix two datasets: make a new DatasetReplica"))]
    pub source: Source,
    /// Where it shall be too.
    #[schemars(length(min = 1, max = 32))]
    pub targets: Vec<Target>,
    /// What each target gets.
    #[serde(default)]
    pub mode: Mode,
    /// How the data is split in mode Shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharding: Option<Sharding>,
    /// What becomes of the objects on their way; they are copied as they are if not given. Targets hold what comes out instead, under
    /// keys whose endings say what they hold: `a/b.jsonl.gz` becomes `a/b.parquet`. Where `input` is not given, the ending of each key
    /// says what an object is: `.jsonl`, `.ndjson`, `.csv` or `.parquet`, the text formats also with `.gz` or `.zst` behind it; an
    /// object with another ending fails, unless only `output.compression` is given. Where `output.format` is not given, it is that of
    /// the input; where `output.compression` is not given, text is compressed as it was, and Parquet by Zstandard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<Transform>,
    /// When the source is looked at again.
    #[serde(default)]
    pub schedule: Schedule,
    /// Stop copying until it is false again.
    #[serde(default)]
    pub suspend: bool,
    /// What happens in a target to an object that left the source.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// The largest share of a target's objects, in percent, that one pass deletes. Where more left the source, nothing is deleted and
    /// Ready says so.
    #[serde(default = "a_tenth")]
    #[schemars(range(min = 1, max = 100))]
    pub max_deletion_percent: u8,
    /// Which older versions of the data stay in the targets and can be loaded by their digest. If not given, what a version named is
    /// overwritten and deleted as newer ones come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<Versions>,
    /// How a copy is proven to be one.
    #[serde(default)]
    pub verification: Verification,
    /// What copying may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<TransferLimits>,
    /// Where copying runs.
    #[serde(default)]
    pub execution: Execution,
    /// What the pods of a Job may use that copies in a member cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobSettings>,
}

/// The data to copy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// A Bucket in the same namespace.
    pub bucket_ref: LocalReference,
    /// Only objects whose key (relative to the Bucket) starts with it; the rest of the key is kept in the targets.
    #[serde(default)]
    #[schemars(length(max = 512))]
    #[x_kube(validation = not_reserved())]
    pub prefix: String,
    /// Which of them.
    #[serde(default, skip_serializing_if = "Filters::is_empty")]
    pub filters: Filters,
    /// Read exactly this version, `sha256:…`, of what another DatasetReplica has written here, and not what is here now: one that its status
    /// has as the `manifestDigest` of this target, or among its `versions`. As long as it is named here, it stays there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    #[x_kube(validation = manifest_digest())]
    pub digest: Option<String>,
}

/// Glob patterns over keys relative to the source's prefix; `*` does not cross `/`, `**` does.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Filters {
    /// Keep only keys that match one of these; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512)))]
    pub include: Vec<String>,
    /// Leave out keys that match one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512)))]
    pub exclude: Vec<String>,
}

impl Filters {
    fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}

/// A place that shall hold the data.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// A Bucket in the same namespace.
    pub bucket_ref: LocalReference,
    /// Put before every key.
    #[serde(default)]
    #[schemars(length(max = 512))]
    #[x_kube(validation = not_reserved())]
    pub prefix: String,
    /// How much of the data it gets in mode Shard, beside the weights of the others; 1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: Option<i32>,
}

/// How data is split over targets.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Sharding {
    /// What decides where an object goes. However it is decided, a target that is added takes over its share, and nothing else
    /// moves.
    #[serde(default)]
    pub by: ShardBy,
    /// Cut objects with rows between those into pieces of about so many bytes, such as `64Mi`, and split the pieces instead of the objects;
    /// at least `1Mi`, and at most 100,000 pieces of an object. `a/train.jsonl` becomes `a/train-00000-of-00016.jsonl` and so on; so it is
    /// with `.ndjson`, `.csv` and `.parquet`, and other objects stay whole. One that is compressed (`.jsonl.gz`) cannot be cut and fails. If
    /// not given, all objects stay whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && !quantity(string(self)).isLessThan(quantity('1Mi'))")
        .message("must be a quantity of at least 1Mi, such as 64Mi (bytes)"))]
    pub piece_size: Option<Quantity>,
}

/// What decides where an object goes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShardBy {
    /// The hash of its key: known without looking at any bucket.
    #[default]
    Hash,
    /// That all targets hold as many objects, by their weights.
    Count,
    /// That all targets hold as many bytes, by their weights.
    Size,
}

/// What each target gets.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every object.
    #[default]
    Mirror,
    /// A share of the objects: each object goes to one of the targets.
    Shard,
    /// Every object, continuously: those that the notifications of the source's Bucket name, as they come, and by `schedule` all
    /// of them, since notifications may be lost. Each such look at everything publishes a version.
    Stream,
}

/// When the source is looked at again: after an interval, or at the times of a cron expression.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.cron) && self.interval != '5m')").message("give either interval or cron"))]
pub struct Schedule {
    /// Time between two looks, such as `30s`, `5m` or `1h`; at least `5s`.
    #[serde(default = "five_minutes")]
    #[schemars(length(max = 7))]
    #[x_kube(validation = Rule::new("self.matches('^([5-9]|[1-9][0-9]{1,5})s$|^[1-9][0-9]{0,4}(m|h)$')")
        .message("must be a whole number of seconds, minutes or hours, such as 30s, 5m or 1h, and at least 5s"))]
    pub interval: String,
    /// A cron expression of five fields, in UTC. The next look is at the next of its times after the last one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^\s*([^\s]+\s+){4}[^\s]+\s*$')")
        .message("must have five fields: minute, hour, day of month, month, day of week, such as \"0 3 * * *\""))]
    pub cron: Option<String>,
}

fn five_minutes() -> String {
    "5m".to_owned()
}

impl Default for Schedule {
    fn default() -> Self {
        Self { interval: five_minutes(), cron: None }
    }
}

impl Schedule {
    /// The interval in seconds; the API server has checked its form, so another form gives `None`.
    #[must_use]
    pub fn interval_seconds(&self) -> Option<u64> {
        seconds(&self.interval)
    }
}

/// A whole number of seconds, minutes or hours, such as `30s`, `5m` or `1h`, in seconds.
fn seconds(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let count: u64 = text.get(..text.len() - unit.len_utf8())?.parse().ok()?;
    match unit {
        's' => Some(count),
        'm' => count.checked_mul(60),
        'h' => count.checked_mul(3600),
        _ => None,
    }
}

/// What happens in a target to an object that left the source.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// It stays, outside the manifest.
    #[default]
    Retain,
    /// It is deleted once the target holds all that the source does, on proof that it left the source.
    Delete,
}

fn a_tenth() -> u8 {
    10
}

/// How a copy is proven to be one.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// By a checksum that the target's store computed, or by reading back where it computes none.
    #[default]
    Checksum,
    /// By reading every object back.
    ReadBack,
}

/// What copying may use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TransferLimits {
    /// Bytes a second that leave the source, all objects together. An object is read once, however many targets there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))")
        .message("must be a quantity above zero, such as 100M (bytes a second)"))]
    pub bandwidth: Option<Quantity>,
    /// Requests a second to each store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_second: Option<i32>,
    /// The most that one pass may cost for leaving the source's cloud, as a decimal number, by the `egressPricePerGB` of the
    /// source's Bucket. Objects that would cost more are left for the next pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^[0-9]+(\.[0-9]{1,9})?$')")
        .message("must be a decimal number in quotes, such as \"12.50\""))]
    pub egress_cost: Option<String>,
}

/// Where copying runs.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Execution {
    /// In the operator what is small; as a Job what is not, if a Cluster is near the source or a target that can run it. With
    /// `limits.egressCost`, or split by count or size, in the operator.
    #[default]
    Auto,
    /// In the operator.
    InProcess,
    /// As an Indexed Job in the member cluster nearest to the source, or else to a target: one that its Bucket's `near` names, or that has
    /// the region of its Bucket.
    Job,
}

/// How far each bucket is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DatasetReplicaStatus {
    /// The generation of the spec this status answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and Reconciling or Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// What the source held at the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<ReplicaStatus>,
    /// In mode Shard, the digest of the index that says which target holds which part, `sha256:…`: absent as long as a target does not
    /// hold its part. It lies below `.skyfleet/shards/` in every target, and in the source where that is writable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard_index_digest: Option<String>,
    /// What became of the rows of all objects, where they are transformed or cut into pieces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowsStatus>,
    /// What each target holds, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<ReplicaStatus>,
    /// How far the targets are behind, in mode Stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamStatus>,
    /// The Job that copies in a member cluster, as long as there is one or its credentials are not removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobStatus>,
    /// When the last pass ended that is not to be tried again before its time: kept so that an operator that was restarted
    /// knows. With an interval only of one that left objects for their cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_pass_time: Option<Time>,
}

/// How far the targets are behind a source that changes all the time. It is written while that changes, every ten seconds at most.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct StreamStatus {
    /// Objects that are known to have changed and are not mirrored to all targets.
    pub pending: i64,
    /// The age of the oldest change that is known and not mirrored to all targets, in seconds and to within a tenth; absent when there
    /// is none. What nobody told of is known with the next look at everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<i64>,
    /// Why the queue of notifications cannot be read; absent when it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What one bucket holds of the dataset.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// The Bucket.
    pub bucket: String,
    /// The prefix within it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Objects of the verified manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<i64>,
    /// Bytes of the verified manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// The digest of the verified manifest, `sha256:…`: buckets with the same digest hold the same data. Absent until
    /// every object was verified once; the last verified one while a newer is being copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// Where older versions are kept, those that can be loaded from here, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<VersionStatus>,
    /// How far the verified manifest is behind the source, in seconds, when the last pass failed or is under way. In mode Stream the age
    /// of the oldest change that is known and not mirrored here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<i64>,
    /// When the manifest here was last verified anew. A look that finds no change does not move it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sync_time: Option<Time>,
    /// What went wrong in the last pass; absent when nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ReplicaStatus {
    /// Whether the version of this digest can be loaded from here.
    #[must_use]
    pub fn has_version(&self, digest: &str) -> bool {
        let is_newest = self.manifest_digest.as_deref() == Some(digest);
        is_newest || self.versions.iter().any(|version| version.digest == digest)
    }
}
