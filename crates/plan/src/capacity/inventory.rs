//! The nodes of a member and what runs there, as they were last counted.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node as KubeNode, Pod};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use skyfleet_api::labels;

use super::shape::requests;
use super::{Node, NodeTaint, PodShape, Resources};

/// A ModelDeployment, by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The nodes of a member and what runs there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// Nodes that are Ready and take pods, with what their pods leave free.
    pub nodes: Vec<Node>,
    /// Pods of others that wait for a node: they will take theirs.
    pub waiting: Vec<PodShape>,
    /// Pods of this hub's ModelDeployments that have a node.
    pub bound: BTreeMap<ModelKey, i64>,
}

impl Inventory {
    /// Takes stock. `hub` tells this hub's pods from others'. Finished pods don't count; pods that end still hold theirs.
    #[must_use]
    pub fn of(nodes: &[KubeNode], pods: &[Pod], hub: &str) -> Self {
        let mut inventory = Self { nodes: nodes.iter().filter_map(open_node).collect(), ..Self::default() };
        let places: BTreeMap<String, usize> =
            inventory.nodes.iter().enumerate().map(|(index, node)| (node.name.clone(), index)).collect();
        for pod in pods.iter().filter(|pod| !is_finished(pod)) {
            let Some(spec) = &pod.spec else { continue };
            let owner = owner(pod, hub);
            match &spec.node_name {
                Some(name) => {
                    if let Some(node) = places.get(name).and_then(|index| inventory.nodes.get_mut(*index)) {
                        node.free.take(&requests(spec), 1);
                    }
                    if let Some(owner) = owner {
                        *inventory.bound.entry(owner).or_default() += 1;
                    }
                }
                // This hub's own are in the ledger already.
                None if owner.is_none() => inventory.waiting.push(PodShape::of(spec)),
                None => {}
            }
        }
        inventory
    }
}

/// The node, when it is Ready and not cordoned.
fn open_node(node: &KubeNode) -> Option<Node> {
    let spec = node.spec.clone().unwrap_or_default();
    if !is_ready(node) || spec.unschedulable == Some(true) {
        return None;
    }
    let taints = spec.taints.unwrap_or_default();
    Some(Node {
        name: node.name_any(),
        free: Resources::from_quantities(node.status.as_ref()?.allocatable.iter().flatten()),
        labels: node.labels().clone(),
        taints: taints
            .into_iter()
            .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
            .map(|taint| NodeTaint { key: taint.key, value: taint.value.unwrap_or_default(), effect: taint.effect })
            .collect(),
    })
}

/// Whether a node says that it is Ready.
fn is_ready(node: &KubeNode) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn owner(pod: &Pod, hub: &str) -> Option<ModelKey> {
    let label = |key: &str| pod.labels().get(key);
    let ours = label(labels::HUB).is_some_and(|of| of == hub);
    let name = label(labels::MODEL_DEPLOYMENT).filter(|_| ours)?;
    Some(ModelKey { namespace: pod.namespace()?, name: name.clone() })
}
