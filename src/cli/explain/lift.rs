//! What if: the snapshot with one exclusion of one cluster lifted, as its remedy would lift it. Pure.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use skyfleet_api::model_deployment::{FieldOperator, FieldRequirement, Placement};
use skyfleet_plan::capacity::Room;
use skyfleet_plan::failover::Contact;
use skyfleet_plan::placement::{Candidate, Data, Exclusion, Held, Snapshot};

/// Contact that has been good for so long counts as steady, whatever `failback.afterSeconds` says.
const LONG: SignedDuration = SignedDuration::from_hours(24 * 8);

/// The snapshot without this exclusion. What the remedy changes for other clusters too (a requirement of the spec) is changed
/// for them as well.
pub(super) fn lifted(snapshot: &Snapshot, cluster: &str, exclusion: &Exclusion) -> Snapshot {
    let mut snapshot = snapshot.clone();
    let now = snapshot.now;
    let Some(candidate) = snapshot.candidates.iter_mut().find(|candidate| candidate.name == cluster) else {
        return snapshot;
    };
    let placement = &mut snapshot.request.placement;
    match exclusion {
        Exclusion::Unreachable { .. } | Exclusion::Lost { .. } | Exclusion::Refusing => {
            candidate.contact = Contact::answering(now.saturating_sub(LONG).unwrap_or(now));
        }
        Exclusion::Leaving => candidate.leaving = false,
        Exclusion::NotSelected => {
            if let Some(selector) = &placement.cluster_selector {
                satisfy(&mut candidate.labels, selector);
            }
        }
        Exclusion::Field { field, found } => {
            placement.cluster_fields.iter_mut().filter(|wanted| wanted.field == *field).for_each(|wanted| {
                allow(wanted, found);
            });
        }
        Exclusion::Residency { by, found } => allow_residence(placement, candidate, by, found),
        Exclusion::Tainted(taint) => candidate.taints.retain(|other| other != taint),
        Exclusion::Weightless => {
            placement.weights.iter_mut().for_each(|weight| weight.clusters.retain(|name| name != cluster));
        }
        Exclusion::NoBucketNear | Exclusion::DataFailed(_) => candidate.data = Data::Near,
        Exclusion::NotServing { .. } => {
            candidate.held.shortfall = None;
            candidate.held.ready = candidate.held.in_force();
        }
        Exclusion::NoRoom(_) => candidate.room = Room::UNBOUNDED,
    }
    snapshot
}

/// The snapshot as if nothing had been decided yet: what every cluster holds is room again.
pub(super) fn anew(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    for candidate in &mut snapshot.candidates {
        let held = i64::from(std::mem::take::<Held>(&mut candidate.held).in_force());
        candidate.room.replicas = candidate.room.replicas.saturating_add(held);
        candidate.room.preferred = candidate.room.preferred.saturating_add(held);
        if held > 0 {
            candidate.room.shortage = None;
        }
    }
    snapshot
}

/// Labels a cluster so that the selector matches it.
fn satisfy(labels: &mut BTreeMap<String, String>, selector: &LabelSelector) {
    for requirement in selector.match_expressions.iter().flatten() {
        let value = requirement.values.as_ref().and_then(|values| values.first()).cloned().unwrap_or_default();
        if matches!(requirement.operator.as_str(), "In" | "Exists") {
            labels.insert(requirement.key.clone(), value);
        } else {
            labels.remove(&requirement.key);
        }
    }
    labels.extend(selector.match_labels.clone().unwrap_or_default());
}

fn allow(wanted: &mut FieldRequirement, found: &str) {
    match wanted.operator {
        FieldOperator::In => wanted.values.push(found.to_owned()),
        FieldOperator::NotIn => wanted.values.retain(|value| value != found),
    }
}

fn allow_residence(placement: &mut Placement, candidate: &Candidate, by: &str, found: &str) {
    let Some(residency) = &mut placement.residency else { return };
    if by == "provider" {
        residency.providers.push(candidate.provider);
    } else {
        residency.regions.push(found.to_owned());
    }
}
