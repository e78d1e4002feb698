//! The verdict on every cluster: may it take replicas, and what happens to those it holds.

use std::collections::BTreeMap;
use std::fmt;

use kube::core::{ParseExpressionError, Selector, SelectorExt};
use skyfleet_api::cluster::Taint;
use skyfleet_api::model_deployment::{Toleration, TolerationOperator};

use super::snapshot::{Candidate, Data, Request};

/// Why a cluster gets no new replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// Its API server does not answer; what it holds is counted and left.
    Unreachable,
    /// It is leaving the fleet.
    Leaving,
    /// The cluster selector does not match its labels.
    NotSelected,
    /// It has a taint that is not tolerated.
    Tainted(Taint),
    /// No bucket of the dataset lies near it.
    NoBucketNear,
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("its API server cannot be reached"),
            Self::Leaving => f.write_str("the Cluster is being deleted"),
            Self::NotSelected => f.write_str("its labels do not match spec.placement.clusterSelector"),
            Self::Tainted(taint) => {
                write!(f, "taint {}={}:{:?} is not tolerated", taint.key, taint.value, taint.effect)
            }
            Self::NoBucketNear => f.write_str("no bucket of the dataset lies near it (spec.near of a Bucket)"),
        }
    }
}

/// What may happen to a cluster's replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// May take more.
    Eligible,
    /// Takes no more and keeps what it has, unless fewer are wanted.
    Keeps(Exclusion),
    /// Takes no more and gives up what it has.
    GivesUp(Exclusion),
}

impl Verdict {
    /// Why it takes no more; `None` when it may.
    pub(super) fn exclusion(&self) -> Option<&Exclusion> {
        match self {
            Self::Eligible => None,
            Self::Keeps(exclusion) | Self::GivesUp(exclusion) => Some(exclusion),
        }
    }

    /// Whether a change there reaches the cluster now.
    pub(super) fn takes_effect(&self) -> bool {
        self.exclusion() != Some(&Exclusion::Unreachable)
    }

    pub(super) fn why(&self, replicas: i32) -> String {
        match self {
            Self::Eligible if replicas == 0 => "fewer replicas are wanted".to_owned(),
            Self::Eligible => "round robin over the eligible clusters".to_owned(),
            Self::Keeps(exclusion) => format!("keeps what it has and takes no more: {exclusion}"),
            Self::GivesUp(exclusion) => format!("gives up what it has: {exclusion}"),
        }
    }
}

/// The verdict on each candidate, by name.
pub(super) fn verdicts<'a>(
    request: &Request,
    candidates: &'a [Candidate],
) -> Result<BTreeMap<&'a str, Verdict>, ParseExpressionError> {
    let selector = match &request.placement.cluster_selector {
        Some(selector) => Selector::try_from(selector.clone())?,
        None => Selector::default(),
    };
    let verdict = |candidate| judge(candidate, &selector, &request.placement.tolerations);
    Ok(candidates.iter().map(|candidate| (candidate.name.as_str(), verdict(candidate))).collect())
}

fn judge(candidate: &Candidate, selector: &Selector, tolerations: &[Toleration]) -> Verdict {
    // Reachability first: whatever else is known of a silent cluster may be out of date, and what it holds stays.
    if !candidate.reachable {
        return Verdict::Keeps(Exclusion::Unreachable);
    }
    if candidate.leaving {
        return Verdict::GivesUp(Exclusion::Leaving);
    }
    if !selector.matches(&candidate.labels) {
        return Verdict::GivesUp(Exclusion::NotSelected);
    }
    if let Some(taint) = candidate.taints.iter().find(|taint| !tolerated(taint, tolerations)) {
        return Verdict::Keeps(Exclusion::Tainted(taint.clone()));
    }
    if candidate.data == Data::NoBucketNear {
        // Replicas that run have loaded their model already; a missing bucket only keeps others from starting.
        return Verdict::Keeps(Exclusion::NoBucketNear);
    }
    Verdict::Eligible
}

/// Whether one of the tolerations covers the taint, by the rules that Kubernetes has for nodes.
fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| {
        let key = toleration.key.as_ref().is_none_or(|key| *key == taint.key);
        let effect = toleration.effect.is_none_or(|effect| effect == taint.effect);
        let value = match toleration.operator {
            TolerationOperator::Exists => true,
            TolerationOperator::Equal => toleration.value.as_deref().unwrap_or_default() == taint.value,
        };
        key && effect && value
    })
}
