//! The fleet: members of four providers and twenty regions, their nodes with no GPU, or two or eight.

use std::sync::Arc;

use serde_json::json;
use skyfleet_api::Cluster;
use skyfleet_plan::capacity::{Inventory, Ledger, Node, Resources};
use skyfleet_plan::question::terms;

const GPU: &str = "nvidia.com/gpu";
const PROVIDERS: [&str; 4] = ["aws", "azure", "gcp", "onPremises"];
const GPUS: [i64; 5] = [0, 0, 2, 8, 8];

/// The members, and what was last counted in each.
pub struct Fleet {
    pub clusters: Vec<Cluster>,
    inventories: Vec<Arc<Inventory>>,
}

impl Fleet {
    pub fn new(clusters: usize, nodes: usize) -> Self {
        Self {
            clusters: (0..clusters).map(cluster).collect(),
            inventories: (0..clusters).map(|index| Arc::new(inventory(index, nodes))).collect(),
        }
    }

    /// Brings the books up to what was last counted, as every pass of the operator does.
    pub fn count(&self, ledger: &mut Ledger, index: usize) {
        let cluster = &self.clusters[index];
        let name = cluster.metadata.name.as_deref().unwrap_or_default();
        ledger.count(name, Some(self.inventories[index].clone()), terms(&cluster.spec));
    }
}

fn cluster(index: usize) -> Cluster {
    let provider = PROVIDERS[index % 4];
    let region = format!("{provider}-{}", index / 4 % 5);
    // One is by far the cheapest, and another the nearest: two strategies crowd them.
    let price = if index == 0 { 1 } else { 2 + index % 7 };
    let trip = if index == 1 { 1 } else { 20 + 3 * (index % 40) };
    let value = json!({
        "apiVersion": "skyfleet.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": format!("cluster-{index:03}"), "labels": {"tier": "standard", "team": "models"}},
        "spec": {
            "provider": provider,
            "region": region,
            "zone": format!("{region}-a"),
            "connection": {"server": "https://cluster.example:6443", "credentialsSecretRef": {"name": "credentials"}},
            "prices": {"cpu": format!("0.0{price}"), "memory": "0.004", GPU: format!("{price}")},
        },
        "status": {
            "roundTripMilliseconds": trip,
            "conditions": [{
                "type": "Reachable", "status": "True", "reason": "Answering", "message": "",
                "lastTransitionTime": "1970-01-01T00:00:00Z",
            }],
        },
    });
    serde_json::from_value(value).expect("a Cluster")
}

fn inventory(cluster: usize, nodes: usize) -> Inventory {
    Inventory { nodes: (0..nodes).map(|index| node(cluster, index)).collect(), ..Inventory::default() }
}

fn node(cluster: usize, index: usize) -> Node {
    let gpus = GPUS[(cluster + index) % 5];
    let mut value = json!({
        "name": format!("node-{index:03}"),
        "free": {"cpuMillis": 192_000, "memoryBytes": 1536_i64 << 30, "pods": 250, "other": {"ephemeral-storage": 1_i64 << 40}},
        "labels": {
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": format!("node-{index:03}"),
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": format!("type-{gpus}"),
            "topology.kubernetes.io/region": "region",
            "topology.kubernetes.io/zone": "a",
        },
    });
    if gpus > 0 {
        value["labels"]["nvidia.com/gpu.memory"] = json!(if gpus == 2 { "24576" } else { "81920" });
        value["taints"] = json!([{"key": GPU, "effect": "NoSchedule"}]);
    }
    let mut node: Node = serde_json::from_value(value).expect("a node");
    if gpus > 0 {
        node.free.other.insert(GPU.to_owned(), gpus);
    }
    node
}

/// Clusters of which more was decided than their nodes have, which must be none.
pub fn overcommitted(fleet: &Fleet, ledger: &Ledger) -> Vec<String> {
    let more = |(cluster, inventory): (&Cluster, &Arc<Inventory>)| {
        let name = cluster.metadata.name.clone().unwrap_or_default();
        let mut all = Resources::default();
        inventory.nodes.iter().for_each(|node| all.add(&node.free));
        let requested = ledger.requested(&name);
        let short = requested.against(&requested).any(|(resource, _, amount)| amount > all.amount(resource));
        short.then(|| format!("{name}: {requested} of {all}"))
    };
    fleet.clusters.iter().zip(&fleet.inventories).filter_map(more).collect()
}
