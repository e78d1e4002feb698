//! From the custom resources to the question that placement answers. The operator and the plugin both ask by this.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use skyfleet_api::cluster::CapacityPolicy;
use skyfleet_api::conditions::{ConditionType, find};
use skyfleet_api::{Cluster, ClusterSpec, ClusterStatus, ModelDeployment, labels};

use crate::capacity::{Resources, Room, Terms};
use crate::failover::{Contact, ContactState};
use crate::load::Load;
use crate::placement::{Candidate, Data, Held, Request};

/// What is known of a cluster beyond its resource.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whether it is heard.
    pub contact: Contact,
    /// The model's data near it.
    pub data: Data,
    /// How many more replicas it holds.
    pub room: Room,
    /// What the model's replicas there report.
    pub load: Option<Load>,
    /// Replicas that are ready there now; what the status said last when it is not known.
    pub ready: Option<i32>,
}

/// What a ModelDeployment asks for; `replicas` as its spec or its autoscaling has decided.
#[must_use]
pub fn request(model: &ModelDeployment, replicas: i32) -> Request {
    Request {
        replicas,
        placement: model.spec.placement.clone(),
        failover: model.spec.failover.clone(),
        rebalanced: model.status.as_ref().and_then(|status| status.rebalance.clone()),
    }
}

/// A cluster as placement sees it. `requests` are those of one replica.
#[must_use]
pub fn candidate(cluster: &Cluster, model: &ModelDeployment, requests: &Resources, facts: Facts) -> Candidate {
    let spec = &cluster.spec;
    // Copies of labels for each cluster and decision would be most of its memory, and mostly for nothing.
    let is_selected = model.spec.placement.cluster_selector.is_some();
    Candidate {
        held: held(model, &cluster.name_any(), facts.ready),
        name: cluster.name_any(),
        provider: spec.provider,
        region: spec.region.clone(),
        zone: spec.zone.clone().unwrap_or_default(),
        labels: if is_selected { all_labels(cluster) } else { BTreeMap::new() },
        taints: spec.taints.clone(),
        contact: facts.contact,
        leaving: cluster.metadata.deletion_timestamp.is_some(),
        data: facts.data,
        room: facts.room,
        price: price(spec, requests),
        load: facts.load,
        round_trip_milliseconds: cluster.status.as_ref().and_then(|status| status.round_trip_milliseconds),
    }
}

/// A cluster's own labels, and those that its spec gives it.
fn all_labels(cluster: &Cluster) -> BTreeMap<String, String> {
    let spec = &cluster.spec;
    let mut all = cluster.labels().clone();
    all.insert(labels::PROVIDER.to_owned(), spec.provider.as_str().to_owned());
    all.insert(labels::REGION.to_owned(), spec.region.clone());
    all.extend(spec.zone.iter().map(|zone| (labels::ZONE.to_owned(), zone.clone())));
    all
}

/// What a cluster holds of a model, by the model's status.
fn held(model: &ModelDeployment, cluster: &str, ready: Option<i32>) -> Held {
    let placements = model.status.as_ref().map(|status| status.placements.as_slice()).unwrap_or_default();
    let Some(placement) = placements.iter().find(|placement| placement.cluster == cluster) else {
        return Held::default();
    };
    Held {
        desired: placement.desired,
        retained: placement.retained,
        ready: ready.unwrap_or(placement.ready),
        shortfall: placement.shortfall.clone(),
        displaced: placement.displaced.clone(),
    }
}

/// The contact with a cluster that is heard so now. Its times are those of its status, which outlives the operator; what the
/// status does not say yet began now.
#[must_use]
pub fn contact(status: Option<&ClusterStatus>, state: ContactState, now: Timestamp) -> Contact {
    let reachable = status.and_then(|status| find(&status.conditions, ConditionType::Reachable));
    let agrees = |word: &str| reachable.filter(|reachable| reachable.status == word);
    let condition = match state {
        ContactState::Silent => agrees("False"),
        ContactState::Answering | ContactState::Refusing => agrees("True"),
    };
    let since = condition.map_or(now, |condition| condition.last_transition_time.0);
    let last_loss = status.and_then(|status| status.last_loss.as_ref()).map(|time| time.0);
    Contact {
        state,
        since,
        doubted: false,
        last_loss: last_loss.or((state == ContactState::Silent).then_some(since)),
        flap_penalty: status.and_then(|status| status.flap_penalty).unwrap_or_default(),
    }
}

/// The contact that a Cluster's status tells of, for those who have no contact of their own.
#[must_use]
pub fn contact_by_status(status: Option<&ClusterStatus>, now: Timestamp) -> Contact {
    let word = |kind| status.and_then(|status| find(&status.conditions, kind)).map(|found| found.status.as_str());
    let state = match (word(ConditionType::Reachable), word(ConditionType::Ready)) {
        (Some("False"), _) => ContactState::Silent,
        (Some("True"), Some("False")) => ContactState::Refusing,
        _ => ContactState::Answering,
    };
    // A manifest without a status is a cluster that is supposed to be there and well.
    let long_ago = now.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(now);
    if status.is_none_or(|status| status.conditions.is_empty()) {
        Contact::answering(long_ago)
    } else {
        contact(status, state, now)
    }
}

/// What may be used of a cluster.
#[must_use]
pub fn terms(spec: &ClusterSpec) -> Terms {
    let amount = |name: &String| Resources::from_quantities(spec.limits.get_key_value(name)).amount(name);
    Terms {
        elastic: spec.capacity_policy == CapacityPolicy::Elastic,
        limits: spec.limits.keys().map(|name| (name.clone(), amount(name))).collect(),
    }
}

/// What one replica costs there in an hour: the prices of a core, a GiB and a piece of each resource that it requests. `None`
/// where one of them has no price, unless nothing but a pod is requested of it.
fn price(spec: &ClusterSpec, requests: &Resources) -> Option<f64> {
    if spec.prices.is_empty() {
        return None;
    }
    let priced = requests.against(requests).filter(|(name, ..)| *name != "pods" && *name != "ephemeral-storage");
    let mut sum = 0.0;
    for (name, _, amount) in priced {
        let price: f64 = spec.prices.get(name)?.parse().ok()?;
        #[allow(clippy::cast_precision_loss, reason = "a price is no more exact")]
        let amount = amount as f64;
        let per = match name {
            "cpu" => 1000.0,
            "memory" => f64::from(1 << 30),
            _ => 1.0,
        };
        sum += price * amount / per;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(prices: &serde_json::Value) -> ClusterSpec {
        serde_json::from_value(json!({
            "provider": "aws", "region": "r", "connection": {}, "prices": prices,
            "limits": {"cpu": "1500m", "memory": "1Gi", "nvidia.com/gpu": 0},
        }))
        .expect("a spec")
    }

    #[test]
    fn a_replica_s_price_is_that_of_all_it_requests_or_none() {
        let mut requests = Resources { cpu_millis: 500, memory_bytes: 4 << 30, pods: 1, ..Resources::default() };
        let spec = cluster(&json!({"cpu": "0.04", "memory": "0.005", "nvidia.com/gpu": "2"}));
        assert_eq!(price(&spec, &requests), Some(0.04));
        requests.other.insert("nvidia.com/gpu".to_owned(), 2);
        assert_eq!(price(&spec, &requests), Some(4.04));
        assert_eq!(price(&cluster(&json!({"cpu": "0.04"})), &requests), None);
        assert_eq!(price(&cluster(&json!({})), &requests), None);
    }

    #[test]
    fn limits_are_in_whole_units_and_zero_is_one() {
        let limits = terms(&cluster(&json!({}))).limits;
        assert_eq!(
            limits,
            [("cpu".to_owned(), 1500), ("memory".to_owned(), 1 << 30), ("nvidia.com/gpu".to_owned(), 0)].into()
        );
    }

    #[test]
    fn the_times_of_contact_are_the_status_s_unless_it_tells_another_story() {
        let at = |second| Timestamp::from_second(second).expect("a small number of seconds");
        let status: ClusterStatus = serde_json::from_value(json!({"conditions": [{
            "type": "Reachable", "status": "False", "reason": "NotAnswering", "message": "",
            "lastTransitionTime": "1970-01-01T00:01:40Z",
        }]}))
        .expect("a status");
        let lost = contact(Some(&status), ContactState::Silent, at(500));
        assert_eq!((lost.since, lost.last_loss), (at(100), Some(at(100))));
        let back = contact(Some(&status), ContactState::Answering, at(500));
        assert_eq!((back.since, back.state), (at(500), ContactState::Answering));
        assert_eq!(contact_by_status(Some(&status), at(500)), lost);
        assert!(contact_by_status(None, at(1_000_000)).is_usable());
    }
}
