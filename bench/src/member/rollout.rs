//! What controllers, scheduler and kubelets make of a Deployment: pods that run on nodes, and a status that says so.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::Arrival;
use super::nodes;
use super::server::Shared;
use super::store::{Change, Key, Store, now};

/// From a write to the first status that answers it: the controllers' own watches.
const NOTICED_AFTER: Duration = Duration::from_millis(20);

/// Tells the observer that a Deployment was written, and rolls it out in a task of its own: first its pods are there, and when
/// some time has passed they are ready. A black hole keeps its members' own controllers from nothing.
pub(super) fn begin(shared: &Arc<Shared>, key: &Key, deployment: &Arc<Value>, arrived: Instant) {
    let leaves = !deployment["metadata"]["deletionTimestamp"].is_null() || shared.store.get(key).is_none();
    (shared.observer)(Arrival {
        member: shared.name.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        at: arrived,
        replicas: if leaves { 0 } else { replicas(deployment) },
    });
    let (shared, key, deployment) = (shared.clone(), key.clone(), deployment.clone());
    tokio::spawn(async move {
        sleep(NOTICED_AFTER).await;
        if leaves {
            remove_pods(&shared.store, &key, |_| true);
            put(&shared.store, &key, |now| {
                // A namesake made meanwhile stays.
                let same = now.is_some_and(|now| now["metadata"]["uid"] == deployment["metadata"]["uid"]);
                if same { Change::Remove } else { Change::Keep }
            });
            return;
        }
        step(&shared, &key, &deployment, false);
        sleep(shared.behaviour.ready_after).await;
        step(&shared, &key, &deployment, true);
    });
}

fn replicas(deployment: &Value) -> i64 {
    deployment["spec"]["replicas"].as_i64().unwrap_or(1)
}

/// Brings pods and status to where this generation is, unless there is a newer one by now, which has steps of its own.
fn step(shared: &Shared, key: &Key, deployment: &Value, ready: bool) {
    let generation = &deployment["metadata"]["generation"];
    let current = shared.store.get(key).is_some_and(|now| {
        now["metadata"]["generation"] == *generation && now["metadata"]["uid"] == deployment["metadata"]["uid"]
    });
    if !current {
        return;
    }
    let running = make_pods(shared, key, deployment, ready);
    let wanted = replicas(deployment);
    let status = json!({
        "observedGeneration": generation, "replicas": wanted, "updatedReplicas": wanted, "readyReplicas": running,
        "availableReplicas": running, "unavailableReplicas": wanted - running,
    });
    put(&shared.store, key, |before| match before {
        Some(before) if before["metadata"]["generation"] == *generation && before["status"] != status => {
            let mut next = before.clone();
            next["status"] = status;
            Change::Put(next)
        }
        _ => Change::Keep,
    });
}

/// Makes the pods that shall be and removes the others; how many are ready then.
fn make_pods(shared: &Shared, key: &Key, deployment: &Value, ready: bool) -> i64 {
    let template = &deployment["spec"]["template"];
    let revision = revision(template);
    let prefix = format!("{}-{revision}-", key.name);
    let wanted = replicas(deployment);
    remove_pods(&shared.store, key, |name| {
        let number = name.strip_prefix(&prefix).and_then(|number| number.parse::<i64>().ok());
        number.is_none_or(|number| number >= wanted)
    });
    let mut running = 0;
    for number in 0..wanted {
        let pod_key = Key::new("pods", &key.namespace, &format!("{prefix}{number}"));
        let before = shared.store.get(&pod_key);
        let was_ready = before.as_ref().is_some_and(|pod| pod["status"]["conditions"][0]["status"] == "True");
        if was_ready || ready {
            running += 1;
        }
        if before.is_none() || (ready && !was_ready) {
            let node = before
                .and_then(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned))
                .unwrap_or_else(|| nodes::name(fastrand::usize(..shared.behaviour.nodes.max(1))));
            let pod = pod(key, deployment, &revision, &node, ready);
            put(&shared.store, &pod_key, |_| Change::Put(pod));
        }
    }
    running
}

fn revision(template: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    format!("{:08x}", hasher.finish() & 0xffff_ffff)
}

fn pod(key: &Key, deployment: &Value, revision: &str, node: &str, ready: bool) -> Value {
    let template = &deployment["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["labels"]["pod-template-hash"] = json!(revision);
    metadata["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{}-{revision}", key.name),
        "uid": deployment["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }]);
    let mut spec = template["spec"].clone();
    spec["nodeName"] = json!(node);
    let conditions = ["Ready", "ContainersReady"].map(
        |type_| json!({"type": type_, "status": if ready { "True" } else { "False" }, "lastTransitionTime": now()}),
    );
    let containers: Vec<Value> = spec["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"], "imageID": "", "ready": ready,
                "restartCount": 0, "state": {"running": {"startedAt": now()}},
            })
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec,
        "status": {
            "phase": "Running", "conditions": conditions, "containerStatuses": containers, "startTime": now(),
            "podIP": "10.244.0.2",
        },
    })
}

fn remove_pods(store: &Store, key: &Key, unwanted: impl Fn(&str) -> bool) {
    let prefix = format!("{}-", key.name);
    let theirs = |pod: &Key, object: &Value| {
        let owner = object["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default();
        let of_this = owner.rsplit_once('-').is_some_and(|(deployment, _)| deployment == key.name);
        pod.namespace == key.namespace && pod.name.starts_with(&prefix) && of_this && unwanted(&pod.name)
    };
    for pod in store.list("pods", theirs, None, None).items {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        put(store, &Key::new("pods", &key.namespace, name), |_| Change::Remove);
    }
}

fn put(store: &Store, key: &Key, change: impl FnOnce(Option<&Value>) -> Change) {
    let Ok(_) = store.change(key, |before| Ok::<_, Infallible>(change(before)));
}
