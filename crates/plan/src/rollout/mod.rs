//! In which order a change reaches the clusters: wave after wave, each behind the gates of the one before.
//!
//! The peers, and what was taken from them: waves by name or by a cumulative share, in the order of the names, are the
//! stages of KubeFleet's staged updates and the decision groups of Open Cluster Management. So are the soak and the
//! deadline (`minSuccessTime`, `progressDeadline`), and that clusters of earlier waves are judged again in later ones. From
//! Argo Rollouts: a first revision has no steps, going back to the stable revision has none either, and a change in mid-way
//! starts anew from the stable revision. Karmada leaves this order to other tools.
//!
//! What holds for every answer:
//! * clusters are told to run the target or the stable revision, never a third one;
//! * a wave begins only when the one before is through its gates: every cluster that has the change so far, in this wave or
//!   an earlier one, has been ready with it for `soakSeconds` and passes the gate of errors (`errors.rs`);
//! * without a stable revision (a model's first) there is nothing to protect and nothing to go back to: all clusters get
//!   the target at once. Back to the stable revision is at once, too. Neither has gates, and a pause holds neither up;
//! * the same question gives the same answer, and an answer put into the next question at the same instant gives itself.
//!
//! **Silence** is no success and no failure. A cluster that is not reached is told to change with its wave and changes when
//! it is back. Until then the wave goes by the others and does not wait for it. Where none of those that have the change
//! is reached, nothing has proved it, and the rollout waits without a deadline, until one is heard or holds no replicas
//! any more. A cluster that comes back has its full deadline from then on.
//!
//! **The deadline** runs from the beginning of the wave, and anew when a cluster joins the wave (it got its first replicas)
//! or a pause ends; it does not run in a pause. It does not cut off a soak that is under way: whoever asks for a soak longer
//! than the deadline means it.
//!
//! **A pause** holds back waves and the deadline, nothing else. Errors that fail the gate are acted on in a pause as well:
//! to go back is no wave.
//!
//! **A failure with `onFailure: Pause`** stops the clock: `waveStarted` is absent from then on, which tells it from a pause
//! of the spec. It ends with another target, with `onFailure: Rollback`, or when somebody sets `paused` and takes it
//! back, which tries the wave again.

mod at_once;
mod errors;
mod gates;
mod staged;
mod waves;

use std::collections::BTreeMap;

use jiff::Timestamp;
use skyfleet_api::model_deployment::{Rollout, RolloutPhase, RolloutStatus};

use crate::load::Load;

/// One member cluster, as a rollout sees it.
#[derive(Clone, Debug)]
pub struct ClusterState<'a> {
    /// Its name.
    pub name: &'a str,
    /// Replicas in force; the rollout passes over a cluster that holds none. Replicas made elsewhere because those here do
    /// not serve still count here: else a revision that fails would leave its wave, which would then be empty and passed
    /// over. Those of a lost cluster no longer do.
    pub replicas: i32,
    /// The revision it was last told to run.
    pub revision: Option<&'a str>,
    /// All its replicas run that revision and are ready, as `kubectl rollout status` judges.
    pub updated: bool,
    /// It is heard. What is said of a cluster that is not is what was last seen, and is not looked at.
    pub reachable: bool,
    /// Since when it is heard without a break, as its condition `Reachable` says. Absent: for as long as matters.
    pub reachable_since: Option<Timestamp>,
    /// What its replicas report.
    pub load: Option<&'a Load>,
}

/// What a rollout decides from.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// How changes shall go.
    pub spec: &'a Rollout,
    /// The revision that the spec asks for.
    pub target: &'a str,
    /// How far it was; absent before the first pass.
    pub status: Option<&'a RolloutStatus>,
    /// The fleet, in any order.
    pub clusters: &'a [ClusterState<'a>],
    /// The time.
    pub now: Timestamp,
}

/// What a rollout decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How far it is. A rollout in which nothing happens has an equal status each time. `waves` is 0 while a change waits
    /// because no cluster holds replicas.
    pub status: RolloutStatus,
    /// The revision to run, for each cluster that holds replicas. The next question must have it in
    /// [`ClusterState::revision`].
    pub revisions: BTreeMap<String, String>,
    /// When to ask again even if nothing changes till then; always later than now.
    pub look_again: Option<Timestamp>,
    /// What just happened; `status.message` says more.
    pub news: Option<News>,
}

/// What is worth an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A change began to reach clusters.
    Began,
    /// The wave of this number, counted from 1, is through its gates, and the next began.
    WaveDone(i32),
    /// It was paused, or a gate failed and `onFailure` is `Pause`.
    Paused,
    /// A gate failed; all clusters go back.
    RolledBack,
    /// Every cluster has the revision.
    Complete,
}

/// Takes the rollout as far as it may go now.
#[must_use]
pub fn advance(question: &Question) -> Answer {
    let mut held: Vec<_> = question.clusters.iter().filter(|cluster| cluster.replicas > 0).collect();
    held.sort_by_key(|cluster| cluster.name);
    let stable = question.status.and_then(|status| status.stable_revision.as_deref());
    let under_way = question.status.filter(|status| status.target_revision == question.target);
    let ended = |status: &RolloutStatus, revision| settled(status.clone(), everywhere(&held, revision));
    match (under_way, stable) {
        (Some(status), _) if status.phase == RolloutPhase::Complete => ended(status, question.target),
        (Some(status), Some(stable)) if status.phase == RolloutPhase::RolledBack => ended(status, stable),
        (_, Some(stable)) if stable != question.target => staged::advance(question, &held, stable, under_way),
        _ => at_once::advance(question, &held, under_way),
    }
}

/// How far it is before anything happened.
fn fresh(question: &Question) -> RolloutStatus {
    RolloutStatus {
        phase: RolloutPhase::Progressing,
        stable_revision: question.status.and_then(|status| status.stable_revision.clone()),
        target_revision: question.target.to_owned(),
        wave: 0,
        waves: 0,
        wave_started: None,
        ready_since: None,
        message: String::new(),
    }
}

/// Nobody has the change, because nobody holds replicas. The first that do are its first wave.
fn nobody(status: RolloutStatus) -> Answer {
    let message = "no cluster holds replicas yet".to_owned();
    let status = RolloutStatus { wave: 0, waves: 0, wave_started: None, ready_since: None, message, ..status };
    settled(status, BTreeMap::new())
}

fn complete(mut status: RolloutStatus, held: &[&ClusterState]) -> Answer {
    let target = status.target_revision.clone();
    let revisions = everywhere(held, &target);
    status.phase = RolloutPhase::Complete;
    status.stable_revision = Some(target);
    (status.wave_started, status.ready_since) = (None, None);
    status.message.clear();
    Answer { news: Some(News::Complete), ..settled(status, revisions) }
}

fn settled(status: RolloutStatus, revisions: BTreeMap<String, String>) -> Answer {
    Answer { status, revisions, look_again: None, news: None }
}

fn everywhere(held: &[&ClusterState], revision: &str) -> BTreeMap<String, String> {
    held.iter().map(|cluster| (cluster.name.to_owned(), revision.to_owned())).collect()
}

/// Clusters by name, the first few of many: a message is for a person.
fn names(clusters: &[&ClusterState]) -> String {
    let shown: Vec<_> = clusters.iter().take(3).map(|cluster| cluster.name).collect();
    match clusters.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests;
