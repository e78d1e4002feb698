//! Load decides the number of replicas: up under load, down without, to zero and back.

use std::time::Duration;

use serde_json::json;
use skyfleet_e2e::fleet::{Fleet, HUB, MEMBERS, NAMESPACE, embed};
use tokio::task::JoinSet;

use super::fleet_state::{json, nothing_is_left, wait_ready};
use crate::support::eventually;

/// Requests that are under way at any moment, in each cluster.
const CLIENTS: usize = 4;

pub(super) async fn replicas_follow_the_load(fleet: &Fleet) {
    let metrics = json!({
        "inFlight": "inference_requests_in_flight", "queued": "inference_requests_queued",
        "requests": "inference_requests_total", "errors": "inference_request_errors_total",
    });
    let autoscaling = json!({
        "minReplicas": 3, "maxReplicas": 6, "targetInFlight": 2, "targetQueued": 1,
        "scaleDownSeconds": 5, "idleSeconds": 10,
    });
    patch(fleet, &json!({"spec": {"runtime": {"metrics": metrics}, "autoscaling": autoscaling}})).await;
    replicas(fleet, "idle: as few as may be", |replicas| replicas == 3).await;

    let mut clients = load(fleet).await;
    replicas(fleet, "under load: more", |replicas| replicas > 3).await;
    clients.shutdown().await;
    replicas(fleet, "idle again: as few as may be", |replicas| replicas == 3).await;

    patch(fleet, &json!({"spec": {"autoscaling": {"minReplicas": 0}}})).await;
    replicas(fleet, "idle for long: none", |replicas| replicas == 0).await;
    for member in MEMBERS {
        eventually(&format!("{member} is empty"), || nothing_is_left(fleet, member)).await;
    }
    let now = format!("skyfleet.dev/requested-at={}", jiff::Timestamp::now());
    fleet.kubectl(HUB, &["annotate", "modeldeployment", "minilm", &now], "").await.unwrap();
    replicas(fleet, "asked for: at least one", |replicas| replicas > 0).await;

    patch(fleet, &json!({"spec": {"runtime": {"metrics": null}, "autoscaling": null}})).await;
    wait_ready(fleet, "modeldeployment", "minilm").await;
}

async fn patch(fleet: &Fleet, patch: &serde_json::Value) {
    let patch = patch.to_string();
    fleet.kubectl(HUB, &["patch", "modeldeployment", "minilm", "--type", "merge", "-p", &patch], "").await.unwrap();
}

/// Waits until so many are decided.
async fn replicas(fleet: &Fleet, what: &str, enough: impl Fn(i64) -> bool) {
    eventually(what, || async {
        let status = &json(fleet, HUB, &["get", "modeldeployment", "minilm", "-n", NAMESPACE]).await["status"];
        let placements = status["placements"].as_array().cloned().unwrap_or_default();
        let desired: i64 = placements.iter().filter_map(|placement| placement["desired"].as_i64()).sum();
        let decided = status["autoscaling"]["replicas"] == desired;
        if decided && enough(desired) { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let status = &json(fleet, HUB, &["get", "modeldeployment", "minilm", "-n", NAMESPACE]).await["status"];
    println!("{what}: {}", status["autoscaling"]);
}

/// Clients that ask without a pause, at every endpoint, until they are ended.
async fn load(fleet: &Fleet) -> JoinSet<()> {
    let status = json(fleet, HUB, &["get", "modeldeployment", "minilm", "-n", NAMESPACE]).await;
    let mut clients = JoinSet::new();
    for placement in status["status"]["placements"].as_array().unwrap() {
        let endpoint = placement["endpoint"].as_str().unwrap();
        for _ in 0..CLIENTS {
            let endpoint = endpoint.to_owned();
            clients.spawn(async move {
                loop {
                    if embed(&endpoint, &"a rather long sentence ".repeat(20)).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            });
        }
    }
    clients
}
