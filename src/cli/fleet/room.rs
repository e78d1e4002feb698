//! How much room a cluster has, by its Nodes or by its Cluster's status.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node as KubeNode, NodeCondition};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use skyfleet_api::cluster::CapacityPolicy;
use skyfleet_api::{Cluster, ClusterStatus};
use skyfleet_plan::capacity::{Inventory, Node, PodShape, Resources, Terms};
use skyfleet_plan::question::terms;

/// The pods that a kubelet takes unless it is told otherwise, for a Node that does not say.
const PODS: &str = "110";
/// More pods than any node takes, where their number is not told.
const MANY_PODS: i64 = 1_000_000;

/// What is known of a cluster's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Basis {
    /// So many Nodes, each with what it has.
    Nodes(usize),
    /// The sums of its Cluster's status, taken to lie evenly on so many nodes without labels and taints.
    Status(i32),
    /// Nodes come when they are needed: `spec.capacityPolicy` says so.
    Elastic,
    /// Nothing.
    Nothing,
}

/// What a cluster that nothing tells the room of has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Unknown {
    /// As much as is asked for, within its limits: a manifest is a cluster that is supposed to be there.
    Unbounded,
    /// None yet: its nodes will be counted.
    NotCounted,
}

/// What is known of a cluster's room, for the ledger.
pub(super) struct Stock {
    pub(super) basis: Basis,
    pub(super) terms: Terms,
    pub(super) inventory: Option<Arc<Inventory>>,
}

pub(super) fn stock(cluster: &Cluster, nodes: Option<&[KubeNode]>, unknown: Unknown) -> Stock {
    let mut terms = terms(&cluster.spec);
    let status = cluster.status.as_ref();
    let (basis, inventory) = match (nodes, status.and_then(|status| Some((status, status.nodes?)))) {
        _ if cluster.spec.capacity_policy == CapacityPolicy::Elastic => (Basis::Elastic, None),
        (Some(nodes), _) => {
            let nodes: Vec<KubeNode> = nodes.iter().map(completed).collect();
            // Which pods run there is not told, and what was decided is in the ledger.
            (Basis::Nodes(nodes.len()), Some(Inventory::of(&nodes, &[], "")))
        }
        (None, Some((status, count))) => {
            let nodes = alike(status, count);
            (Basis::Status(count), Some(Inventory { nodes, ..Inventory::default() }))
        }
        (None, None) => {
            terms.elastic = unknown == Unknown::Unbounded;
            (Basis::Nothing, None)
        }
    };
    Stock { basis, terms, inventory: inventory.map(Arc::new) }
}

/// The shape that can be asked for where the labels of nodes are not known: they are taken to be as it wants them.
pub(super) fn without_wishes(shape: &PodShape) -> PodShape {
    PodShape { requests: shape.requests.clone(), ..PodShape::default() }
}

/// A Node as its kubelet reports it, from one that a person may have written down: without conditions it is Ready, without
/// allocatable it has its capacity.
fn completed(node: &KubeNode) -> KubeNode {
    let mut node = node.clone();
    let status = node.status.get_or_insert_default();
    let conditions = status.conditions.get_or_insert_default();
    if !conditions.iter().any(|condition| condition.type_ == "Ready") {
        let ready = NodeCondition { type_: "Ready".to_owned(), status: "True".to_owned(), ..NodeCondition::default() };
        conditions.push(ready);
    }
    let capacity = status.capacity.clone();
    let allocatable = status.allocatable.get_or_insert_with(|| capacity.unwrap_or_default());
    allocatable.entry("pods".to_owned()).or_insert_with(|| Quantity(PODS.to_owned()));
    node
}

/// So many nodes that share evenly what is left by the sums of a status.
fn alike(status: &ClusterStatus, count: i32) -> Vec<Node> {
    let mut left = Resources::from_quantities(&status.allocatable);
    left.take(&Resources::from_quantities(&status.allocated), 1);
    let share = |amount: i64| amount.max(0) / i64::from(count.max(1));
    let pods = if status.allocatable.contains_key("pods") { share(left.pods) } else { MANY_PODS };
    let free = Resources {
        cpu_millis: share(left.cpu_millis),
        memory_bytes: share(left.memory_bytes),
        pods,
        other: left.other.iter().map(|(name, amount)| (name.clone(), share(*amount))).collect(),
    };
    (0..count).map(|index| Node { name: format!("node-{index}"), free: free.clone(), ..Node::default() }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(value: &serde_json::Value) -> Cluster {
        let mut cluster = json!({
            "metadata": {"name": "aws-1"},
            "spec": {"provider": "aws", "region": "r", "connection": {}},
        });
        for (key, more) in value.as_object().expect("an object") {
            cluster[key] = more.clone();
        }
        serde_json::from_value(cluster).expect("a Cluster")
    }

    fn free(stock: &Stock) -> Vec<(i64, i64, i64)> {
        let nodes = &stock.inventory.as_ref().expect("there are nodes").nodes;
        nodes.iter().map(|node| (node.free.cpu_millis, node.free.memory_bytes, node.free.pods)).collect()
    }

    #[test]
    fn a_status_is_shared_out_evenly() {
        let cluster = cluster(&json!({"status": {
            "nodes": 2, "allocatable": {"cpu": "8", "memory": "8Gi"}, "allocated": {"cpu": "3", "memory": "9Gi"},
        }}));
        let stock = stock(&cluster, None, Unknown::Unbounded);
        assert_eq!((stock.basis, stock.terms.elastic), (Basis::Status(2), false));
        assert_eq!(free(&stock), [(2500, 0, MANY_PODS); 2]);
    }

    #[test]
    fn a_node_need_not_say_what_goes_without_saying() {
        let nodes: Vec<KubeNode> = serde_json::from_value(json!([
            {"metadata": {"name": "a"}, "status": {"capacity": {"cpu": "4", "memory": "1Ki"}}},
            {"metadata": {"name": "b"}, "status": {"allocatable": {"cpu": "2", "pods": "9"}}},
            {"metadata": {"name": "c"}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}},
            {"metadata": {"name": "d"}, "spec": {"unschedulable": true}},
        ]))
        .expect("Nodes");
        let stock = stock(&cluster(&json!({})), Some(&nodes), Unknown::Unbounded);
        assert_eq!((stock.basis, free(&stock)), (Basis::Nodes(4), vec![(4000, 1024, 110), (2000, 0, 9)]));
    }

    #[test]
    fn without_anything_told_a_cluster_is_without_bound_or_not_counted() {
        for (unknown, elastic) in [(Unknown::Unbounded, true), (Unknown::NotCounted, false)] {
            let stock = stock(&cluster(&json!({})), None, unknown);
            assert_eq!((stock.basis, stock.terms.elastic), (Basis::Nothing, elastic));
        }
    }
}
