//! Whether what a cluster's EndpointSlices said last is believed over the hub's statuses: pure.

use std::collections::HashMap;
use std::sync::Arc;

use skyfleet_api::Cluster;
use skyfleet_api::conditions::{ConditionType, is_true};

use crate::routing::fleet::{Clusters, KnownPods, PodsOf};
use crate::routing::pods::Pods;

/// What clusters' EndpointSlices said last, by the names of the Clusters. Of those that have said nothing yet nothing is known.
pub(crate) type Said = HashMap<String, Last>;

/// What the EndpointSlices of a cluster said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(in crate::routing) pods: Arc<Pods>,
    /// It could not be watched for a while, so another may know better.
    pub(crate) is_old: bool,
}

/// What of it is believed. What was said last is unknown by now when a cluster can be watched no more, but unknown is not zero, and
/// the hub knows better only if the cluster speaks to it, and it to the gateway: else its status is as old, or older.
pub(crate) fn believed(said: &Said, clusters: &Clusters, is_hub_heard: bool) -> PodsOf {
    let does_hub_know = |name: &String| is_hub_heard && clusters.get(name).is_some_and(is_reachable);
    let believed = said.iter().map(|(cluster, last)| {
        let is_outdated = last.is_old && does_hub_know(cluster);
        (cluster.clone(), KnownPods { pods: last.pods.clone(), is_outdated })
    });
    believed.collect()
}

fn is_reachable(cluster: &Cluster) -> bool {
    cluster.status.as_ref().is_some_and(|status| is_true(&status.conditions, ConditionType::Reachable))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(reachable: &str) -> Cluster {
        let condition = json!({
            "type": "Reachable", "status": reachable, "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "a"},
            "spec": {"provider": "aws", "region": "r", "connection": {}}, "status": {"conditions": [condition]},
        }))
        .expect("a Cluster")
    }

    #[test]
    fn what_is_old_gives_way_only_to_who_knows_better() {
        for (is_old, reachable, is_hub_heard, expected) in [
            (false, Some("True"), true, false),
            (true, Some("True"), true, true),
            (true, Some("True"), false, false),
            (true, Some("False"), true, false),
            (true, Some("Unknown"), true, false),
            (true, None, true, false),
        ] {
            let said = Said::from([("a".to_owned(), Last { pods: Arc::default(), is_old })]);
            let clusters = reachable.map(|reachable| ("a".to_owned(), cluster(reachable))).into_iter().collect();
            let found = believed(&said, &clusters, is_hub_heard);
            assert_eq!(
                found["a"].is_outdated, expected,
                "old {is_old}, reachable {reachable:?}, hub heard {is_hub_heard}"
            );
        }
    }
}
