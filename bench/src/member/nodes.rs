//! The nodes of a member, and the namespaces that every cluster has.

use serde_json::{Value, json};

use super::store::{Change, Key, Store, now};

/// Makes them.
pub(super) fn make(store: &Store, nodes: usize) {
    for name in ["default", "kube-system"] {
        put(store, "namespaces", name, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {}}));
    }
    for number in 0..nodes {
        put(store, "nodes", &name(number), node(number));
    }
}

/// The name of a node.
pub(super) fn name(number: usize) -> String {
    format!("node-{number:03}")
}

fn put(store: &Store, resource: &str, name: &str, object: Value) {
    let change = |_: Option<&Value>| Ok::<_, std::convert::Infallible>(Change::Put(object));
    let Ok(_) = store.change(&Key::new(resource, "", name), change);
}

fn node(number: usize) -> Value {
    let resources = json!({"cpu": "16", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": "8"});
    let address = format!("10.{}.{}.10", 1 + number / 250, number % 250);
    let labels = json!({
        "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name(number),
        "node.kubernetes.io/instance-type": "simulated", "nvidia.com/gpu.memory": "81920",
    });
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated",
        "lastHeartbeatTime": now(), "lastTransitionTime": now(),
    });
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"labels": labels}, "spec": {},
        "status": {
            "capacity": resources, "allocatable": resources, "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name(number)}],
        },
    })
}
