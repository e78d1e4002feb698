//! The verdict on every cluster: may it take replicas, and what happens to those it holds.

use jiff::{SignedDuration, Timestamp};
use kube::core::{ParseExpressionError, Selector, SelectorExt};
use serde::{Deserialize, Serialize};
use skyfleet_api::cluster::{Taint, TaintEffect};
use skyfleet_api::model_deployment::{
    ClusterField, DataLocality, Displaced, FieldOperator, FieldRequirement, MovePolicy, Placement, Residency, Strategy,
    Toleration, TolerationOperator,
};

use super::exclusion::Exclusion;
use super::snapshot::{Candidate, Data, Snapshot};
use crate::failover::{Contact, ContactState, Patience, Suspicion, lost_since, overdue, suspicion};

/// What may happen to a cluster's replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// May take more.
    Eligible,
    /// Takes no more and keeps what it has, unless fewer are wanted.
    Keeps(Exclusion),
    /// Takes no more, and what it has is made elsewhere.
    GivesUp(Exclusion),
}

impl Verdict {
    /// Why it takes no more; `None` when it may.
    #[must_use]
    pub fn exclusion(&self) -> Option<&Exclusion> {
        match self {
            Self::Eligible => None,
            Self::Keeps(exclusion) | Self::GivesUp(exclusion) => Some(exclusion),
        }
    }
}

/// A verdict, and what of a cluster's replicas counts towards those that are wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) verdict: Verdict,
    pub(super) counted: i32,
    pub(super) suspicion: Option<Suspicion>,
}

/// The standing of each candidate, in their order.
pub(super) fn standings(snapshot: &Snapshot) -> Result<Vec<Standing>, ParseExpressionError> {
    let selector = match &snapshot.request.placement.cluster_selector {
        Some(selector) => Selector::try_from(selector.clone())?,
        None => Selector::default(),
    };
    Ok(snapshot.candidates.iter().map(|candidate| standing(candidate, &selector, snapshot)).collect())
}

fn standing(candidate: &Candidate, selector: &Selector, snapshot: &Snapshot) -> Standing {
    let suspicion =
        suspicion(&candidate.contact, snapshot.candidates.iter().map(|other| &other.contact), snapshot.max_lost_share);
    let verdict = judge(candidate, selector, snapshot, suspicion.is_some());
    let desired = candidate.held.desired;
    let counted = match &verdict {
        Verdict::GivesUp(Exclusion::NotServing { ready, .. }) => desired.min(*ready),
        Verdict::GivesUp(_) => 0,
        Verdict::Eligible | Verdict::Keeps(_) => desired,
    };
    Standing { verdict, counted: counted.max(0), suspicion }
}

fn judge(candidate: &Candidate, selector: &Selector, snapshot: &Snapshot, suspected: bool) -> Verdict {
    let placement = &snapshot.request.placement;
    // Contact first: whatever else is known of a silent cluster may be out of date.
    match candidate.contact.state {
        ContactState::Silent => return silence(candidate, snapshot, suspected),
        ContactState::Refusing => return Verdict::Keeps(Exclusion::Refusing),
        ContactState::Answering => {}
    }
    if candidate.leaving {
        return Verdict::GivesUp(Exclusion::Leaving);
    }
    if let Some(exclusion) = not_allowed(candidate, selector, placement) {
        return Verdict::GivesUp(exclusion);
    }
    let untolerated = |effect| {
        let taints = candidate.taints.iter().filter(move |taint| taint.effect == effect);
        taints.into_iter().find(|taint| !tolerated(taint, &placement.tolerations)).cloned()
    };
    if let Some(taint) = untolerated(TaintEffect::NoExecute) {
        return Verdict::GivesUp(Exclusion::Tainted(taint));
    }
    if let Some(exclusion) = not_serving(candidate, snapshot) {
        return Verdict::GivesUp(exclusion);
    }
    if let Some(taint) = untolerated(TaintEffect::NoSchedule) {
        return Verdict::Keeps(Exclusion::Tainted(taint));
    }
    if placement.strategy == Strategy::Weighted && weight(placement, &candidate.name) == 0 {
        return Verdict::Keeps(Exclusion::Weightless);
    }
    // Replicas that run have loaded their model already; what is missing only keeps others from starting.
    match &candidate.data {
        Data::NoBucketNear if placement.data_locality == DataLocality::Required => {
            return Verdict::Keeps(Exclusion::NoBucketNear);
        }
        Data::Failed(why) => return Verdict::Keeps(Exclusion::DataFailed(why.clone())),
        _ => {}
    }
    match &candidate.room.shortage {
        Some(shortage) if candidate.room.replicas <= 0 => Verdict::Keeps(Exclusion::NoRoom(shortage.clone())),
        _ => Verdict::Eligible,
    }
}

/// Silence alone deletes nothing: what the cluster holds stays, and after the grace period it is made elsewhere as well,
/// unless the hub suspects itself.
fn silence(candidate: &Candidate, snapshot: &Snapshot, suspected: bool) -> Verdict {
    let failover = &snapshot.request.failover;
    let since = lost_since(&candidate.contact, snapshot.candidates.iter().map(|other| &other.contact));
    let until = since + SignedDuration::from_secs(failover.grace_period_seconds.into());
    if suspected || failover.policy == MovePolicy::Never {
        return Verdict::Keeps(Exclusion::Unreachable { since, until: None });
    }
    if snapshot.now < until {
        return Verdict::Keeps(Exclusion::Unreachable { since, until: Some(until) });
    }
    Verdict::GivesUp(Exclusion::Lost { since })
}

/// The spec says that replicas must not be there.
fn not_allowed(candidate: &Candidate, selector: &Selector, placement: &Placement) -> Option<Exclusion> {
    if !selector.matches(&candidate.labels) {
        return Some(Exclusion::NotSelected);
    }
    if let Some(required) = placement.cluster_fields.iter().find(|required| !field_is_so(candidate, required)) {
        let found = field(candidate, required.field).to_owned();
        return Some(Exclusion::Field { field: required.field, found });
    }
    placement.residency.as_ref().and_then(|residency| against_residency(candidate, residency))
}

fn field_is_so(candidate: &Candidate, required: &FieldRequirement) -> bool {
    let listed = required.values.iter().any(|value| value == field(candidate, required.field));
    match required.operator {
        FieldOperator::In => listed,
        FieldOperator::NotIn => !listed,
    }
}

fn field(candidate: &Candidate, field: ClusterField) -> &str {
    match field {
        ClusterField::Name => &candidate.name,
        ClusterField::Provider => candidate.provider.as_str(),
        ClusterField::Region => &candidate.region,
        ClusterField::Zone => &candidate.zone,
    }
}

fn against_residency(candidate: &Candidate, residency: &Residency) -> Option<Exclusion> {
    let against = |by: &str, found: &str| Exclusion::Residency { by: by.to_owned(), found: found.to_owned() };
    if !residency.allows_provider(candidate.provider) {
        return Some(against("provider", candidate.provider.as_str()));
    }
    (!residency.allows_region(&candidate.region)).then(|| against("region", &candidate.region))
}

/// Replicas that should serve and have not for too long, where the fleet has others that do: were it everywhere, the fault
/// would be with the model, and no other cluster would mend it.
fn not_serving(candidate: &Candidate, snapshot: &Snapshot) -> Option<Exclusion> {
    let failover = &snapshot.request.failover;
    let late =
        |candidate: &Candidate| overdue(candidate.held.shortfall.as_ref(), Patience::from(failover), snapshot.now);
    let shortfall = candidate.held.shortfall.as_ref()?;
    if failover.policy == MovePolicy::Never || !late(candidate) {
        return None;
    }
    let elsewhere = |other: &Candidate| other.name != candidate.name && other.contact.is_usable() && !late(other);
    let serves = snapshot.candidates.iter().any(|other| elsewhere(other) && other.held.serving() > 0);
    let untried = snapshot.candidates.iter().any(|other| elsewhere(other) && other.held.in_force() == 0);
    let all_fail = !serves && snapshot.candidates.iter().filter(|other| late(other)).count() > 1;
    (serves || (untried && !all_fail)).then(|| Exclusion::NotServing {
        ready: candidate.held.serving(),
        of: candidate.held.in_force(),
        since: shortfall.since.0,
    })
}

/// The weight of a cluster for the strategy `Weighted`.
pub(super) fn weight(placement: &Placement, cluster: &str) -> i32 {
    let named = placement.weights.iter().find(|weight| weight.clusters.iter().any(|name| name == cluster));
    named.map_or(1, |weight| weight.weight)
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

/// Whether a cluster that has lost replicas to others is still to prove that it stays: so long it takes new ones only where
/// no other can.
pub(super) fn is_recovering(candidate: &Candidate, after: SignedDuration, now: Timestamp) -> bool {
    candidate.held.displaced.as_ref().is_some_and(|displaced| now < steady_from(&candidate.contact, displaced, after))
}

/// From when a cluster that has lost replicas to others counts as steady.
pub(super) fn steady_from(contact: &Contact, displaced: &Displaced, after: SignedDuration) -> Timestamp {
    contact.since.max(displaced.since.0).saturating_add(after).unwrap_or(Timestamp::MAX)
}
