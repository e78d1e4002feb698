//! The watch of the Clusters that starts passes over ModelDeployments: kept in memory, so that a pass need not ask, and quiet
//! about what no placement depends on, such as the sums of a status that change with every pod.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use futures::{Stream, StreamExt};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, Resource, ResourceExt};
use skyfleet_api::Cluster;

/// The Clusters, and a stream of those that changed in a way that matters here. A change is in the store before it is in the
/// stream.
pub(super) fn fleet_watch(
    hub: &Client,
) -> (
    Store<DeserializeGuard<Cluster>>,
    impl Stream<Item = Result<DeserializeGuard<Cluster>, watcher::Error>> + Send + use<>,
) {
    let (store, writer) = reflector::store();
    let mut seen = HashMap::new();
    let changes = watch(Api::all(hub.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .filter_map(move |event| std::future::ready(matters(&mut seen, event)));
    (store, changes)
}

fn matters(
    seen: &mut HashMap<String, u64>,
    event: Result<Event<DeserializeGuard<Cluster>>, watcher::Error>,
) -> Option<Result<DeserializeGuard<Cluster>, watcher::Error>> {
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

/// Of everything that a decision depends on, and nothing else.
fn print(cluster: &DeserializeGuard<Cluster>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let meta = cluster.meta();
    (&meta.uid, &meta.generation, &meta.labels, meta.deletion_timestamp.is_some()).hash(&mut hasher);
    if let Some(status) = cluster.0.as_ref().ok().and_then(|cluster| cluster.status.as_ref()) {
        for condition in &status.conditions {
            (&condition.type_, &condition.status, condition.last_transition_time.0.as_second()).hash(&mut hasher);
        }
        (&status.round_trip_milliseconds, &status.flap_penalty).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cluster(status: &Value) -> DeserializeGuard<Cluster> {
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "a", "generation": 1},
            "spec": {"provider": "aws", "region": "r", "connection": {}}, "status": status,
        }))
        .expect("a Cluster")
    }

    #[test]
    fn sums_that_change_with_every_pod_start_no_pass_and_lost_contact_does() {
        let mut seen = HashMap::new();
        let mut told = |cluster| matters(&mut seen, Ok(Event::Apply(cluster))).is_some();
        assert!(told(cluster(&json!({"allocated": {"cpu": "1"}}))));
        assert!(!told(cluster(&json!({"allocated": {"cpu": "2"}, "nodes": 3}))));
        let condition = json!({"type": "Reachable", "status": "False", "reason": "NotAnswering", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        assert!(told(cluster(&json!({"conditions": [condition]}))));
        assert!(!told(cluster(&json!({"conditions": [condition], "allocated": {"cpu": "3"}}))));
        assert!(matters(&mut seen, Ok(Event::Delete(cluster(&json!({}))))).is_some());
    }
}
