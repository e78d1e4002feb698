use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node as KubeNode, Pod, PodSpec};
use proptest::prelude::*;
use serde_json::{from_value, json};
use skyfleet_api::labels;

use super::{Inventory, Ledger, ModelKey, Node, PodShape, Resources, Shortage, Terms};

const GPU: &str = "nvidia.com/gpu";

fn gpus(count: i64) -> PodShape {
    let requests =
        Resources { cpu_millis: 1000, pods: 1, other: [(GPU.to_owned(), count)].into(), ..Resources::default() };
    PodShape { requests, ..PodShape::default() }
}

fn node(name: &str, gpus: i64) -> Node {
    let free =
        Resources { cpu_millis: 64_000, memory_bytes: 1 << 38, pods: 110, other: [(GPU.to_owned(), gpus)].into() };
    Node { name: name.to_owned(), free, ..Node::default() }
}

fn key(name: &str) -> ModelKey {
    ModelKey { namespace: "default".to_owned(), name: name.to_owned() }
}

fn shares(replicas: i32) -> BTreeMap<String, i32> {
    [("a".to_owned(), replicas)].into()
}

fn ledger(nodes: Vec<Node>) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.count("a", Some(Arc::new(Inventory { nodes, ..Inventory::default() })), Terms::default());
    ledger
}

#[test]
fn a_replica_needs_one_node_with_all_of_its_gpus() {
    let mut ledger = ledger(vec![node("n1", 3), node("n2", 3), node("n3", 2)]);
    assert_eq!(ledger.room("a", &gpus(1)).replicas, 8);
    assert_eq!(ledger.room("a", &gpus(3)).replicas, 2);
    let none = ledger.room("a", &gpus(4));
    let shortage = Shortage::Resource { resource: GPU.to_owned(), needed: 4, most_free: 3 };
    assert_eq!((none.replicas, none.shortage), (0, Some(shortage)));
}

#[test]
fn what_is_decided_takes_room_before_it_runs_and_no_more_once_it_does() {
    let mut decided = ledger(vec![node("n1", 4), node("n2", 4)]);
    let shape = Arc::new(gpus(1));
    decided.enter(&key("m"), &shape, &shares(2));
    assert_eq!(decided.room("a", &gpus(1)).replicas, 6);
    // Kubernetes' scheduler would put one on each node: no node has four left.
    assert_eq!(decided.room("a", &gpus(4)).replicas, 0);
    let seen =
        Inventory { nodes: vec![node("n1", 2), node("n2", 4)], bound: [(key("m"), 2)].into(), ..Inventory::default() };
    decided.count("a", Some(Arc::new(seen)), Terms::default());
    assert_eq!(decided.room("a", &gpus(4)).replicas, 1);
    decided.enter(&key("m"), &shape, &shares(0));
    assert_eq!(decided.room("a", &gpus(1)).replicas, 6, "pods hold their room until they are seen to be gone");
}

#[test]
fn limits_bound_what_all_models_request_together() {
    let mut ledger = Ledger::default();
    let limits = [(GPU.to_owned(), 3), ("memory".to_owned(), 0)].into();
    ledger.count("a", None, Terms { elastic: true, limits });
    ledger.enter(&key("m"), &Arc::new(gpus(2)), &shares(1));
    assert_eq!(ledger.room("a", &gpus(1)).replicas, 1);
    let none = ledger.room("a", &gpus(2));
    assert_eq!(none.shortage, Some(Shortage::Limit { resource: GPU.to_owned(), needed: 2, left: 1 }));
    let mut with_memory = gpus(0);
    with_memory.requests.memory_bytes = 1;
    assert_eq!(ledger.room("a", &with_memory).replicas, 0, "a limit of 0 is one");
}

#[test]
fn a_cluster_that_was_not_counted_has_no_room_yet() {
    let mut ledger = Ledger::default();
    ledger.count("a", None, Terms::default());
    assert_eq!(ledger.room("a", &gpus(1)).shortage, Some(Shortage::NotCounted));
    assert_eq!(ledger.room("b", &gpus(1)).shortage, Some(Shortage::NotCounted));
}

#[test]
fn stock_is_taken_of_nodes_that_take_pods_and_pods_that_are_not_finished() {
    let kube_node = |name: &str, ready: &str, cordoned: bool| -> KubeNode {
        from_value(json!({
            "metadata": {"name": name, "labels": {"zone": "a"}},
            "spec": {"unschedulable": cordoned, "taints": [{"key": "gpu", "effect": "NoSchedule"}, {"key": "soft", "effect": "PreferNoSchedule"}]},
            "status": {
                "allocatable": {"cpu": "3500m", "memory": "8Gi", "pods": "110", GPU: "4"},
                "conditions": [{"type": "Ready", "status": ready}],
            },
        }))
        .expect("a Node")
    };
    let pod = |node: Option<&str>, phase: &str, ours: bool| -> Pod {
        let labels = if ours { json!({labels::HUB: "hub", labels::MODEL_DEPLOYMENT: "m"}) } else { json!({}) };
        from_value(json!({
            "metadata": {"name": "p", "namespace": "default", "labels": labels},
            "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"limits": {GPU: "1"}, "requests": {"cpu": "500m"}}}]},
            "status": {"phase": phase},
        }))
        .expect("a Pod")
    };
    let nodes = [kube_node("n1", "True", false), kube_node("n2", "Unknown", false), kube_node("n3", "True", true)];
    let pods = [
        pod(Some("n1"), "Running", true),
        pod(Some("n1"), "Succeeded", false),
        pod(Some("n2"), "Running", true),
        pod(None, "Pending", true),
        pod(None, "Pending", false),
    ];
    let inventory = Inventory::of(&nodes, &pods, "hub");
    assert_eq!(inventory.nodes.len(), 1);
    let free = &inventory.nodes[0].free;
    assert_eq!((free.cpu_millis, free.pods, free.other[GPU]), (3000, 109, 3));
    assert_eq!(inventory.nodes[0].taints.len(), 1);
    assert_eq!(inventory.bound, [(key("m"), 2)].into());
    assert_eq!(inventory.waiting.len(), 1);
}

#[test]
fn nodes_admit_pods_by_selector_affinity_and_taints() {
    let node: Node = from_value(json!({
        "name": "n1", "free": {},
        "labels": {"accelerator": "l4", "nvidia.com/gpu.memory": "24576", "spot": "true"},
        "taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}],
    }))
    .expect("a node");
    let tolerates = json!([{"key": "gpu", "operator": "Exists"}]);
    let terms = |terms: serde_json::Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    let memory = |operator: &str, mebibytes: &str| {
        terms(
            json!([{"matchExpressions": [{"key": "nvidia.com/gpu.memory", "operator": operator, "values": [mebibytes]}]}]),
        )
    };
    for (pod, admitted) in [
        (json!({}), false),
        (json!({"tolerations": tolerates}), true),
        (json!({"tolerations": [{"operator": "Exists"}]}), true),
        (json!({"tolerations": [{"key": "gpu", "value": "no"}]}), false),
        (json!({"tolerations": [{"key": "gpu", "value": "yes", "effect": "NoExecute"}]}), false),
        (json!({"tolerations": tolerates, "nodeSelector": {"accelerator": "l4"}}), true),
        (json!({"tolerations": tolerates, "nodeSelector": {"accelerator": "h100"}}), false),
        (json!({"tolerations": tolerates, "affinity": memory("Gt", "24000")}), true),
        (json!({"tolerations": tolerates, "affinity": memory("Gt", "24576")}), false),
        (json!({"tolerations": tolerates, "affinity": memory("Lt", "24000")}), false),
        (json!({"tolerations": tolerates, "affinity": memory("NotIn", "24576")}), false),
        (json!({"tolerations": tolerates, "affinity": terms(json!([{}]))}), false),
        (
            json!({"tolerations": tolerates, "affinity": terms(json!([{}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]))}),
            true,
        ),
        (
            json!({"tolerations": tolerates, "affinity": terms(json!([{"matchExpressions": [{"key": "spot", "operator": "DoesNotExist"}]}]))}),
            false,
        ),
    ] {
        let mut spec = pod.clone();
        spec["containers"] = json!([]);
        let spec: PodSpec = from_value(spec).expect("a pod");
        assert_eq!(node.admits(&PodShape::of(&spec)), admitted, "{pod}");
    }
}

#[test]
fn init_containers_count_by_the_largest_and_sidecars_as_containers() {
    let spec: PodSpec = from_value(json!({
        "containers": [
            {"name": "a", "resources": {"requests": {"cpu": "250m", GPU: "1"}}},
            {"name": "b", "resources": {"requests": {"cpu": "0.25", "memory": "1Gi"}}},
        ],
        "initContainers": [
            {"name": "i", "resources": {"requests": {"cpu": "100m", "memory": "2Gi"}}},
            {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
        ],
        "overhead": {"memory": "1Mi"},
    }))
    .expect("a pod");
    let requests = PodShape::of(&spec).requests;
    assert_eq!((requests.cpu_millis, requests.memory_bytes, requests.pods), (600, (2 << 30) + (1 << 20), 1));
    assert_eq!(requests.to_string(), "600m cpu, 2Gi memory, 1 pods, 1 nvidia.com/gpu");
}

proptest! {
    /// Whatever is entered in whatever order, the incremental sums are those worked out from nothing, and no node ever holds
    /// more than it has.
    #[test]
    fn the_books_balance(
        nodes in prop::collection::vec(0_i64..9, 1..6),
        entries in prop::collection::vec((0_usize..6, 1_i64..5, 0_i32..6), 1..40),
        probe in 1_i64..5,
    ) {
        let nodes: Vec<Node> =
            nodes.iter().enumerate().map(|(index, gpus)| node(&format!("n{index}"), *gpus)).collect();
        let mut running = ledger(nodes.clone());
        let mut last = BTreeMap::new();
        for (model, need, replicas) in entries {
            let (model, shape) = (key(&format!("m{model}")), Arc::new(gpus(need)));
            // A decision is bounded by the room there is for what it adds.
            let had = last.get(&model).map_or(0, |(_, had): &(Arc<PodShape>, i32)| *had);
            let same = last.get(&model).is_none_or(|(before, _): &(Arc<PodShape>, i32)| *before == shape);
            let room = i32::try_from(running.room("a", &shape).replicas.min(1000)).expect("small");
            let replicas = if same { replicas.min(had + room) } else { 0 };
            running.enter(&model, &shape, &shares(replicas));
            last.insert(model, (shape, replicas));
        }
        let mut anew = ledger(nodes.clone());
        for (model, (shape, replicas)) in &last {
            anew.enter(model, shape, &shares(*replicas));
        }
        let total: i64 = nodes.iter().map(|node| node.free.amount(GPU)).sum();
        let used: i64 = last.values().map(|(shape, replicas)| shape.requests.amount(GPU) * i64::from(*replicas)).sum();
        prop_assert!(used <= total, "more is promised than there is");
        prop_assert_eq!(running.requested("a"), anew.requested("a"));
        prop_assert!(running.room("a", &gpus(probe)).replicas * probe + used <= total);
    }
}

#[test]
fn what_fits_is_bounded_by_the_scarcest() {
    let have = Resources {
        cpu_millis: 1000,
        memory_bytes: 100,
        pods: 9,
        other: [(GPU.to_owned(), 4), ("b".to_owned(), -1)].into(),
    };
    let need = |cpu_millis, memory_bytes, other: &[(&str, i64)]| Resources {
        cpu_millis,
        memory_bytes,
        pods: 1,
        other: other.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect(),
    };
    for (need, times) in [
        (need(0, 0, &[]), 9),
        (need(300, 0, &[]), 3),
        (need(300, 40, &[]), 2),
        (need(300, 40, &[(GPU, 4)]), 1),
        (need(1, 1, &[(GPU, 5)]), 0),
        (need(1, 1, &[("unknown", 1)]), 0),
        (need(1, 1, &[("unknown", 0)]), 9),
        (need(1, 1, &[("b", 1)]), 0),
        (need(i64::MAX, 1, &[]), 0),
        (Resources::default(), i64::MAX),
    ] {
        assert_eq!(have.times(&need), times, "{need}");
    }
}

#[test]
fn rooms_are_right_however_many_wishes_are_remembered() {
    let named = |name: &str| Node { labels: [("name".to_owned(), name.to_owned())].into(), ..node(name, 2) };
    let mut ledger = ledger(vec![named("n1"), named("n2"), named("n3")]);
    for round in 0..3 {
        for wish in 0..300 {
            let selector = [("name".to_owned(), format!("n{wish}"))].into();
            let shape = PodShape { node_selector: selector, ..gpus(1) };
            let room = ledger.room("a", &shape).replicas;
            assert_eq!(room, if (1..=3).contains(&wish) { 2 } else { 0 }, "n{wish} in round {round}");
        }
    }
    let seen = Inventory { nodes: vec![named("n1")], ..Inventory::default() };
    ledger.count("a", Some(Arc::new(seen)), Terms::default());
    assert_eq!(ledger.room("a", &gpus(1)).replicas, 2, "other nodes admit anew");
}
