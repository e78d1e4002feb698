//! The watch of the Clusters that starts passes over ModelDeployments: kept in memory, so that a pass need not ask, and quiet
//! about what no placement depends on, such as the sums of a status that change with every pod.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use futures::{Stream, StreamExt, TryStreamExt};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, ResourceExt};
use skyfleet_api::cluster::{CapacityPolicy, Connection, Provider};
use skyfleet_api::{Cluster, ClusterSpec};

/// The Clusters, and a stream of those that changed in a way that matters here. A change is in the store before it is in the
/// stream. One that cannot be decoded has a [`stand_in`].
pub(super) fn fleet_watch(
    hub: &Client,
) -> (Store<Cluster>, impl Stream<Item = Result<Cluster, watcher::Error>> + Send + use<>) {
    let (store, writer) = reflector::store();
    let mut seen = HashMap::new();
    let changes = watch(Api::<DeserializeGuard<Cluster>>::all(hub.clone()), watcher::Config::default())
        .default_backoff()
        .map_ok(decoded)
        .modify(|cluster| cluster.managed_fields_mut().clear())
        .reflect(writer)
        .filter_map(move |event| std::future::ready(matters(&mut seen, event)));
    (store, changes)
}

fn decoded(event: Event<DeserializeGuard<Cluster>>) -> Event<Cluster> {
    let cluster = |guard: DeserializeGuard<Cluster>| guard.0.unwrap_or_else(|error| stand_in(error.metadata.name));
    match event {
        Event::Apply(guard) => Event::Apply(cluster(guard)),
        Event::InitApply(guard) => Event::InitApply(cluster(guard)),
        Event::Delete(guard) => Event::Delete(cluster(guard)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

/// Stands for a Cluster that cannot be decoded: it is there, so what it holds counts, and nothing can be done with it.
fn stand_in(name: Option<String>) -> Cluster {
    let connection =
        Connection { server: None, ca_bundle: None, credentials_secret_ref: None, kubeconfig_secret_ref: None };
    let spec = ClusterSpec {
        provider: Provider::OnPremises,
        region: String::new(),
        zone: None,
        network: None,
        connection,
        taints: vec![],
        prices: BTreeMap::new(),
        egress_price_per_gb: None,
        capacity_policy: CapacityPolicy::Measured,
        limits: BTreeMap::new(),
    };
    let mut cluster = Cluster::new("", spec);
    cluster.metadata.name = name;
    cluster
}

/// Whether a Cluster could be decoded: only what the hub has sent has a UID.
pub(super) fn is_readable(cluster: &Cluster) -> bool {
    cluster.metadata.uid.is_some()
}

fn matters(
    seen: &mut HashMap<String, u64>,
    event: Result<Event<Cluster>, watcher::Error>,
) -> Option<Result<Cluster, watcher::Error>> {
    match event {
        Ok(Event::Apply(cluster) | Event::InitApply(cluster)) => {
            let print = print(&cluster);
            (seen.insert(cluster.name_any(), print) != Some(print)).then_some(Ok(cluster))
        }
        Ok(Event::Delete(cluster)) => {
            seen.remove(&cluster.name_any());
            Some(Ok(cluster))
        }
        Ok(Event::Init | Event::InitDone) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Of everything that a decision depends on, and nothing that only sways between one good place and another, as the round
/// trip does: the next pass will know it.
fn print(cluster: &Cluster) -> u64 {
    let mut hasher = DefaultHasher::new();
    let meta = &cluster.metadata;
    (&meta.uid, &meta.generation, &meta.labels, meta.deletion_timestamp.is_some()).hash(&mut hasher);
    if let Some(status) = &cluster.status {
        for condition in &status.conditions {
            (&condition.type_, &condition.status, condition.last_transition_time.0.as_second()).hash(&mut hasher);
        }
        status.flap_penalty.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cluster(status: &Value) -> Cluster {
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster",
            "metadata": {"name": "a", "uid": "u", "generation": 1},
            "spec": {"provider": "aws", "region": "r", "connection": {}}, "status": status,
        }))
        .expect("a Cluster")
    }

    #[test]
    fn sums_that_change_with_every_pod_start_no_pass_and_lost_contact_does() {
        let mut seen = HashMap::new();
        let mut told = |cluster| matters(&mut seen, Ok(Event::Apply(cluster))).is_some();
        assert!(told(cluster(&json!({"allocated": {"cpu": "1"}}))));
        assert!(!told(cluster(&json!({"allocated": {"cpu": "2"}, "nodes": 3, "roundTripMilliseconds": 7}))));
        let condition = json!({"type": "Reachable", "status": "False", "reason": "NotAnswering", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        assert!(told(cluster(&json!({"conditions": [condition]}))));
        assert!(!told(cluster(&json!({"conditions": [condition], "allocated": {"cpu": "3"}}))));
        assert!(matters(&mut seen, Ok(Event::Delete(cluster(&json!({}))))).is_some());
    }
    #[test]
    fn a_cluster_that_cannot_be_decoded_has_a_stand_in() {
        let strange = json!({"apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster",
            "metadata": {"name": "a", "uid": "u"}, "spec": {"provider": "of a later version"}});
        let Event::Apply(found) = decoded(Event::Apply(serde_json::from_value(strange).expect("a guard"))) else {
            panic!("another event")
        };
        assert_eq!((found.name_any().as_str(), is_readable(&found)), ("a", false));
        assert!(is_readable(&cluster(&json!({}))));
    }
}
