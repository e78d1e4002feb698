//! Load decides the number of replicas: up under load, down without, to zero and back.

use serde_json::json;
use skyfleet_e2e::fleet::{Fleet, HUB, MEMBERS, NAMESPACE};

use super::fleet_state::{json, nothing_is_left, patch, wait_ready};
use super::load::{Load, metrics};
use crate::support::eventually;

pub(super) async fn replicas_follow_the_load(fleet: &Fleet) {
    let autoscaling = json!({
        "minReplicas": 3, "maxReplicas": 6, "targetInFlight": 2, "targetQueued": 1,
        "scaleDownSeconds": 5, "idleSeconds": 10,
    });
    patch(fleet, &json!({"spec": {"runtime": {"metrics": metrics()}, "autoscaling": autoscaling}})).await;
    replicas(fleet, "idle: as few as may be", |replicas| replicas == 3).await;

    let load = Load::start(fleet, &MEMBERS).await;
    replicas(fleet, "under load: more", |replicas| replicas > 3).await;
    load.end().await;
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
