//! Conditions: one vocabulary for every kind, understood by kstatus (Argo CD, Flux, `kubectl wait`).
//!
//! Every kind has `Ready`. `Reconciling` and `Stalled` are there only while true, as kstatus expects: work under way, and
//! work that cannot go on until a person changes something.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The types of condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The object does what its spec asks.
    Ready,
    /// Work is under way; it ends by itself.
    Reconciling,
    /// Work has stopped until somebody changes the object or what it refers to.
    Stalled,
    /// Cluster: its API server answers.
    Reachable,
    /// Cluster: its API server accepts the credentials.
    CredentialsValid,
    /// ModelRoute: what carries it out cannot do all that it asks for. The message says what; the rest is done.
    Limited,
}

/// Why a condition has its status: the complete list, one word a cause, so that alerts and scripts can rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// All is as the spec asks.
    AsSpecified,
    /// First contact, or a change, is being worked on.
    Progressing,
    /// A field is set that this version does not act on.
    UnsupportedField,
    /// The spec says something impossible that the API server could not check.
    InvalidSpec,
    /// An object that the spec names does not exist.
    ReferenceNotFound,
    /// A Secret lacks a key or a ServiceAccount an annotation, or its content is refused.
    InvalidCredentials,
    /// The other side refuses the credentials.
    CredentialsRefused,
    /// The credentials do not allow what is needed.
    PermissionDenied,
    /// The API server of a member answers.
    Answering,
    /// The API server of a member does not answer.
    NotAnswering,
    /// Nothing was heard yet.
    NotProbedYet,
    /// The object store does not answer.
    StoreUnreachable,
    /// The store has no such bucket.
    BucketNotFound,
    /// No member cluster is eligible for any replica, or for the Job that is to copy.
    NoEligibleCluster,
    /// A wish in the spec's placement cannot be met; replicas run all the same.
    ConstraintUnmet,
    /// Pods wait for data that is not verified in the bucket near them yet.
    WaitingForData,
    /// A member cluster that holds replicas cannot be reached; nothing is changed there.
    MemberUnreachable,
    /// A member cluster refused a change.
    MemberRefused,
    /// Pods are not ready yet.
    WaitingForPods,
    /// A change failed a gate of its rollout; clusters have the last good revision again, or the rollout has stopped.
    RolloutFailed,
    /// No replica that a route leads to is ready.
    NoEndpoints,
    /// Another, older ModelRoute takes the same requests: the same host, path and model.
    RouteConflict,
    /// A load balancer that is to carry a route out cannot do all of it, and does the rest.
    DriverLacks,
    /// A load balancer that is to carry a route out cannot do it at all.
    DriverRefuses,
    /// Some objects could not be copied or verified.
    CopyFailed,
    /// More records than may be cannot be transformed: no new version is published.
    RecordsRejected,
    /// Objects that left the source are still in a target.
    DeletionPending,
    /// To copy the rest would cost more than a pass may: the next one goes on.
    BudgetSpent,
    /// The object is being deleted.
    Deleting,
    /// The object is paused by its spec.
    Suspended,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The three values of a condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known.
    Unknown,
}

impl From<bool> for Status {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What one pass found: a condition without its times, which only a comparison with the earlier one can give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The condition's type.
    pub kind: ConditionType,
    /// Its status.
    pub status: Status,
    /// The machine's word for why.
    pub reason: Reason,
    /// The person's sentence for why, and what to do.
    pub message: String,
}

impl Finding {
    /// A finding of one type.
    pub fn new(kind: ConditionType, status: impl Into<Status>, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, status: status.into(), reason, message: message.into() }
    }

    /// `Ready=True` and nothing else: the object is settled.
    pub fn ready(message: impl Into<String>) -> Vec<Self> {
        vec![Self::new(ConditionType::Ready, true, Reason::AsSpecified, message)]
    }

    /// `Ready=False` with `Reconciling=True`: it is being worked on.
    pub fn reconciling(reason: Reason, message: impl Into<String>) -> Vec<Self> {
        let message = message.into();
        vec![
            Self::new(ConditionType::Ready, false, reason, message.clone()),
            Self::new(ConditionType::Reconciling, true, reason, message),
        ]
    }

    /// `Ready=False` with `Stalled=True`: a person must change something.
    pub fn stalled(reason: Reason, message: impl Into<String>) -> Vec<Self> {
        let message = message.into();
        vec![
            Self::new(ConditionType::Ready, false, reason, message.clone()),
            Self::new(ConditionType::Stalled, true, reason, message),
        ]
    }
}

/// The conditions that `findings` make of `earlier`: `lastTransitionTime` moves to `now` only where the status changed, so
/// that a pass that finds the same gives the same bytes. Types that are not found any more are dropped.
#[must_use]
pub fn conditions(
    earlier: &[Condition],
    findings: &[Finding],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = findings
        .iter()
        .map(|finding| {
            let kind = finding.kind.to_string();
            let status = format!("{:?}", finding.status);
            let since = earlier
                .iter()
                .find(|condition| condition.type_ == kind && condition.status == status)
                .map_or_else(|| Time(whole_seconds(now)), |condition| condition.last_transition_time.clone());
            Condition {
                type_: kind,
                status,
                reason: finding.reason.to_string(),
                message: finding.message.clone(),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect();
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    conditions
}

/// Kubernetes keeps whole seconds; a fraction would come back changed and look like a difference.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The condition of this type, if it is there.
#[must_use]
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    let kind = kind.to_string();
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether the condition of this type is there and true.
#[must_use]
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number of seconds")
    }

    #[test]
    fn the_same_finding_later_gives_the_same_conditions() {
        let first = conditions(&[], &Finding::ready("fine"), Some(1), at(10));
        assert_eq!(conditions(&first, &Finding::ready("fine"), Some(1), at(99)), first);
    }

    #[test]
    fn a_changed_status_moves_the_transition_time_and_a_changed_message_does_not() {
        let ready = conditions(&[], &Finding::ready("fine"), Some(1), at(10));
        let reworded = conditions(&ready, &Finding::ready("better"), Some(2), at(20));
        assert_eq!(reworded[0].last_transition_time.0, at(10));
        let broken = conditions(&reworded, &Finding::stalled(Reason::InvalidSpec, "bad"), Some(3), at(30));
        assert_eq!(find(&broken, ConditionType::Ready).map(|c| c.last_transition_time.0), Some(at(30)));
        assert!(is_true(&broken, ConditionType::Stalled));
    }

    #[test]
    fn a_type_no_longer_found_is_dropped() {
        let stalled = conditions(&[], &Finding::stalled(Reason::InvalidSpec, "bad"), Some(1), at(10));
        let ready = conditions(&stalled, &Finding::ready("fine"), Some(2), at(20));
        assert_eq!(ready.len(), 1);
    }
}
