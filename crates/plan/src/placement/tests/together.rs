//! A cluster is lost, and all its models are made elsewhere at once, by several threads: what one was given, no other is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::random::STRATEGIES;
use super::*;
use crate::capacity::{Inventory, Ledger, ModelKey, Node, PodShape, Resources, Terms};

const MODELS: usize = 1000;
const GPU: &str = "nvidia.com/gpu";
/// GPUs of a node.
const GPUS: i64 = 8;
/// Nodes of the cluster that is lost, and of each other: together these have a little less than what is lost.
const NODES: [usize; 2] = [200, 9];

fn name(cluster: usize) -> String {
    format!("c{cluster:02}")
}

fn nodes(cluster: usize) -> usize {
    NODES[cluster.min(1)]
}

/// One, two or four GPUs: largest first, such pods fill nodes without a gap.
fn gpus(model: usize) -> i64 {
    [1, 1, 2, 1, 1, 4, 1][model % 7]
}

fn key(model: usize) -> ModelKey {
    ModelKey { namespace: "default".to_owned(), name: format!("m{model}") }
}

fn shape(model: usize) -> Arc<PodShape> {
    let requests = Resources { pods: 1, other: [(GPU.to_owned(), gpus(model))].into(), ..Resources::default() };
    Arc::new(PodShape { requests, ..PodShape::default() })
}

fn books() -> Ledger {
    let mut ledger = Ledger::default();
    for cluster in 0..20 {
        let node = |index: usize| Node {
            name: format!("n{index}"),
            free: Resources { pods: 110, other: [(GPU.to_owned(), GPUS)].into(), ..Resources::default() },
            ..Node::default()
        };
        let inventory = Inventory { nodes: (0..nodes(cluster)).map(node).collect(), ..Inventory::default() };
        ledger.count(&name(cluster), Some(Arc::new(inventory)), Terms::default());
    }
    for model in 0..MODELS {
        ledger.enter(&key(model), &shape(model), &[(name(0), 1)].into());
    }
    ledger
}

/// As the operator decides: room, question, answer and entry under one lock.
fn fail_over(books: &Mutex<Ledger>, model: usize) -> Plan {
    let mut ledger = books.lock().expect("no thread has failed");
    let shape = shape(model);
    let candidates = (0..20).map(|index| {
        let mut candidate = cluster(&name(index));
        candidate.room = ledger.room(&candidate.name, &shape);
        if index == 0 {
            candidate.contact = Contact { state: ContactState::Silent, ..Contact::answering(at(NOW - 301)) };
            candidate.held = Held { desired: 1, ready: 1, ..Held::default() };
        }
        candidate
    });
    let mut snapshot = snapshot(1, candidates.collect());
    snapshot.request.placement.strategy = STRATEGIES[model % STRATEGIES.len()];
    let plan = plan(&snapshot);
    ledger.enter(&key(model), &shape, &plan.in_force());
    plan
}

/// Puts the pods of a cluster onto its nodes, the largest first, each on the first that has enough left.
fn pack(cluster: usize, mut pods: Vec<i64>) {
    pods.sort_unstable_by(|a, b| b.cmp(a));
    let mut free = vec![GPUS; nodes(cluster)];
    for pod in pods {
        let node = free.iter_mut().find(|free| **free >= pod);
        *node.unwrap_or_else(|| panic!("no node of {} holds a pod of {pod}", name(cluster))) -= pod;
    }
}

#[test]
fn a_thousand_failovers_at_once_promise_no_room_twice() {
    let (books, next, plans) = (Mutex::new(books()), AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= MODELS {
                        return;
                    }
                    // No multiple of 733 comes twice before all have come.
                    let model = turn * 733 % MODELS;
                    let plan = fail_over(&books, model);
                    plans.lock().expect("no thread has failed").insert(model, plan);
                }
            });
        }
    });
    let plans = plans.into_inner().expect("no thread has failed");
    assert_eq!(plans.len(), MODELS);
    for cluster in 0..20 {
        let on_it = plans.iter().filter(|(_, plan)| plan.in_force().contains_key(&name(cluster)));
        pack(cluster, on_it.map(|(model, _)| gpus(*model)).collect());
    }
    let here = |plan: &Plan| plan.assignment(&name(0)).map(|assignment| (assignment.desired, assignment.retained));
    assert!(
        plans.values().all(|plan| here(plan).is_some_and(|(desired, retained)| desired + retained == 1)),
        "silence"
    );
    let moved = plans.values().filter(|plan| here(plan) == Some((0, 1))).map(|plan| plan.in_force().len());
    assert!((800..MODELS).contains(&moved.filter(|clusters| *clusters == 2).count()), "the others are nearly full");
    let left = books.into_inner().expect("no thread has failed").room(&name(7), &shape(0));
    assert!(left.replicas < 4, "{left:?}");
}
