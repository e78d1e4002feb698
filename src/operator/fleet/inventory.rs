//! What a member has and what of it is taken: pure sums over its nodes and pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_quantity::ParsedQuantity;

/// Resources by name.
type Resources = BTreeMap<String, Quantity>;

/// What a member has and what of it is taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Inventory {
    /// Nodes that are Ready.
    pub(crate) nodes: i32,
    /// Allocatable of the Ready nodes: CPU, memory, and every extended resource such as a GPU.
    pub(crate) allocatable: Resources,
    /// Requests of the pods that are not finished, for the same resources.
    pub(crate) allocated: Resources,
    /// Where a Service of type NodePort is reached: the first Ready node's external address, else its internal one.
    pub(crate) node_address: Option<String>,
}

/// Sums up nodes and pods. A quantity that cannot be read counts as absent: the API server has checked them all.
pub(crate) fn count(nodes: &[Node], pods: &[Pod]) -> Inventory {
    let ready: Vec<&Node> = nodes.iter().filter(|node| is_ready(node)).collect();
    let mut allocatable = Sums::default();
    for resources in ready.iter().filter_map(|node| node.status.as_ref()?.allocatable.as_ref()) {
        allocatable.add(resources.iter().filter(|(name, _)| counts(name)));
    }
    let mut allocated = Sums::default();
    for pod in pods.iter().filter(|pod| !is_finished(pod)) {
        if let Some(spec) = &pod.spec {
            allocated.add(requests(spec).iter().filter(|(name, _)| counts(name)));
        }
    }
    Inventory {
        nodes: i32::try_from(ready.len()).unwrap_or(i32::MAX),
        allocatable: allocatable.into_quantities(),
        allocated: allocated.into_quantities(),
        node_address: ready.iter().min_by_key(|node| &node.metadata.name).and_then(|node| address(node)),
    }
}

fn address(node: &Node) -> Option<String> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let of =
        |type_: &str| addresses.iter().find(|address| address.type_ == type_).map(|address| address.address.clone());
    of("ExternalIP").or_else(|| of("InternalIP"))
}

/// CPU, memory and extended resources (which have a domain); the rest (pods, storage) does not limit inference.
fn counts(resource: &str) -> bool {
    resource == "cpu" || resource == "memory" || resource.contains('/')
}

fn is_ready(node: &Node) -> bool {
    node.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

fn is_finished(pod: &Pod) -> bool {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"))
}

/// What the scheduler reserves for a pod: the containers' sum or the largest init container, by resource; sidecars count as
/// containers (KEP-753).
fn requests(pod: &PodSpec) -> Resources {
    let mut running = Sums::default();
    let mut starting: BTreeMap<String, ParsedQuantity> = BTreeMap::new();
    let requests_of = |container: &k8s_openapi::api::core::v1::Container| {
        container.resources.as_ref().and_then(|resources| resources.requests.clone()).unwrap_or_default()
    };
    for container in &pod.containers {
        running.add(requests_of(container).iter());
    }
    for container in pod.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(requests_of(container).iter());
            continue;
        }
        for (name, quantity) in requests_of(container) {
            let Ok(quantity) = ParsedQuantity::try_from(quantity) else { continue };
            let most = starting.entry(name).or_insert_with(|| quantity.clone());
            if quantity > *most {
                *most = quantity;
            }
        }
    }
    for (name, quantity) in starting {
        let sum = running.0.entry(name).or_insert_with(|| quantity.clone());
        if quantity > *sum {
            *sum = quantity;
        }
    }
    running.into_quantities()
}

#[derive(Default)]
struct Sums(BTreeMap<String, ParsedQuantity>);

impl Sums {
    fn add<'a>(&mut self, resources: impl Iterator<Item = (&'a String, &'a Quantity)>) {
        for (name, quantity) in resources {
            let Ok(quantity) = ParsedQuantity::try_from(quantity) else { continue };
            match self.0.entry(name.clone()) {
                std::collections::btree_map::Entry::Occupied(mut sum) => *sum.get_mut() += quantity,
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(quantity);
                }
            }
        }
    }

    fn into_quantities(self) -> Resources {
        self.0.into_iter().map(|(name, sum)| (name, sum.into())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn node(ready: &str) -> Node {
        from_value(json!({"metadata": {}, "status": {
            "allocatable": {"cpu": "3500m", "memory": "8Gi", "pods": "110", "nvidia.com/gpu": "4"},
            "conditions": [{"type": "Ready", "status": ready}],
        }}))
        .expect("a Node")
    }

    fn pod(phase: &str) -> Pod {
        from_value(json!({"metadata": {}, "status": {"phase": phase}, "spec": {
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "250m", "nvidia.com/gpu": "1"}}},
                {"name": "b", "resources": {"requests": {"cpu": "0.25", "memory": "1Gi"}}},
            ],
            "initContainers": [
                {"name": "i", "resources": {"requests": {"cpu": "100m", "memory": "2Gi"}}},
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
            ],
        }}))
        .expect("a Pod")
    }

    #[test]
    fn only_ready_nodes_and_unfinished_pods_count() {
        let counted = count(&[node("True"), node("True"), node("Unknown")], &[pod("Running"), pod("Succeeded")]);
        assert_eq!(counted.nodes, 2);
        let quantity = |resources: &Resources, name: &str| resources.get(name).map(|quantity| quantity.0.clone());
        assert_eq!(quantity(&counted.allocatable, "cpu").as_deref(), Some("7000m"));
        assert_eq!(quantity(&counted.allocatable, "nvidia.com/gpu").as_deref(), Some("8"));
        assert_eq!(quantity(&counted.allocatable, "pods"), None);
        assert_eq!(quantity(&counted.allocated, "cpu").as_deref(), Some("600m"));
        assert_eq!(quantity(&counted.allocated, "memory").as_deref(), Some("2Gi"));
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(count(&[], &[]), Inventory::default());
    }
}
