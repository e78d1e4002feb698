//! In which order a change of a model, its runtime or its Service reaches the clusters.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::object_names;

/// A change goes over the clusters in waves. A wave ends when its gates have held; one that fails them is rolled back.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.soakSeconds < self.progressDeadlineSeconds")
        .message("soakSeconds must be below progressDeadlineSeconds, or no wave could end in time"),
)]
pub struct Rollout {
    /// The waves, in order: the first is the canary. Clusters in none of them follow together in a last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub waves: Vec<Wave>,
    /// Gate: all replicas of the wave, and of those before it, are ready with the new revision for so many seconds without a
    /// break.
    #[serde(default = "soak")]
    #[schemars(range(min = 0, max = 86_400))]
    pub soak_seconds: i32,
    /// Gate: a wave that has not got through so many seconds after it began has failed. A soak that is under way may end.
    #[serde(default = "progress_deadline")]
    #[schemars(range(min = 10, max = 604_800))]
    pub progress_deadline_seconds: i32,
    /// Gate: a higher share of failed requests in a cluster of the wave, in percent, is a failure. Judged where the runtime
    /// counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_error_percent: Option<i32>,
    /// What follows a failed gate.
    #[serde(default)]
    pub on_failure: FailurePolicy,
    /// Begin no further wave until it is false again.
    #[serde(default)]
    pub paused: bool,
    /// Revisions that are kept, to go back to.
    #[serde(default = "revision_history_limit")]
    #[schemars(range(min = 1, max = 100))]
    pub revision_history_limit: i32,
}

fn soak() -> i32 {
    30
}

fn progress_deadline() -> i32 {
    1800
}

fn revision_history_limit() -> i32 {
    10
}

/// Clusters that get a change together.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.clusters) != has(self.percent)").message("give either clusters or percent"),
)]
pub struct Wave {
    /// These, by name; one that holds no replicas is passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    #[x_kube(validation = object_names())]
    pub clusters: Vec<String>,
    /// So many that, with those of earlier waves, this share of all clusters with replicas has the change; rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<i32>,
}

/// What follows a failed gate.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// All clusters go back to the last revision that was complete.
    #[default]
    Rollback,
    /// The rollout stops where it is, for a person to look.
    Pause,
}

/// How far a rollout is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// How it stands.
    pub phase: RolloutPhase,
    /// The last revision that reached all clusters and passed its gates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_revision: Option<String>,
    /// The revision that the spec asks for.
    pub target_revision: String,
    /// The wave that is under way, counted from 1.
    #[serde(default)]
    pub wave: i32,
    /// Of so many.
    #[serde(default)]
    pub waves: i32,
    /// When the wave began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave_started: Option<Time>,
    /// Since when all replicas of the wave are ready without a break.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_since: Option<Time>,
    /// What is waited for, or what went wrong.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How a rollout stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutPhase {
    /// Waves are under way.
    Progressing,
    /// It waits: it was paused, or a gate failed and `onFailure` is `Pause`.
    Paused,
    /// Every cluster has the revision.
    Complete,
    /// A gate failed; the clusters have the stable revision again, until the spec changes.
    RolledBack,
}
