//! The strategies that go by what the replicas themselves report.

use serde_json::{Value, json};
use skyfleet_e2e::fleet::{Fleet, HUB, MEMBERS, NAMESPACE};

use super::fleet_state::{json, patch, wait_for_shares, wait_ready};
use super::load::{Load, metrics};
use crate::support::eventually;

/// Two clusters of three are loaded: a new replica goes to the third, by its requests in flight and by its response time.
pub(super) async fn new_replicas_go_where_load_is_least(fleet: &Fleet) {
    let [first, second, third] = MEMBERS;
    strategy(fleet, "LeastConnection").await;
    wait_ready(fleet, "modeldeployment", "minilm").await;

    let mut load = Load::start(fleet, &[first, second]).await;
    eventually("requests in flight are reported", || async {
        let [of_first, of_second, of_third] = reported(fleet, "inFlight").await?;
        if of_first > 1.0 && of_second > 1.0 && of_third < 1.0 { Ok(()) } else { Err(format!("{of_third}")) }
    })
    .await;
    patch(fleet, &json!({"spec": {"replicas": 7}})).await;
    wait_for_shares(fleet, [2, 2, 3]).await;
    assert_eq!(strategy_used(fleet).await, "LeastConnection by requests in flight");

    load.trickle(fleet, third).await;
    strategy(fleet, "LeastResponseTime").await;
    eventually("response times are reported", || async {
        let [of_first, of_second, of_third] = reported(fleet, "timeToFirstToken").await?;
        let told = format!("{of_first} {of_second} {of_third}");
        if of_first > 2.0 * of_third && of_second > 2.0 * of_third { Ok(()) } else { Err(told) }
    })
    .await;
    patch(fleet, &json!({"spec": {"replicas": 8}})).await;
    wait_for_shares(fleet, [2, 2, 4]).await;
    assert_eq!(strategy_used(fleet).await, "LeastResponseTime by time to first token, then round trip");
    load.end().await;

    let before = json!({
        "runtime": {"metrics": null}, "replicas": 6, "placement": {"strategy": "RoundRobin"},
    });
    patch(fleet, &json!({"spec": before})).await;
    wait_for_shares(fleet, [2, 2, 2]).await;
    wait_ready(fleet, "modeldeployment", "minilm").await;
}

async fn strategy(fleet: &Fleet, strategy: &str) {
    let spec = json!({"runtime": {"metrics": metrics()}, "placement": {"strategy": strategy}});
    patch(fleet, &json!({"spec": spec})).await;
}

async fn strategy_used(fleet: &Fleet) -> String {
    let model = json(fleet, HUB, &["get", "modeldeployment", "minilm", "-n", NAMESPACE]).await;
    model["status"]["strategy"].as_str().unwrap_or_default().to_owned()
}

/// What each member, in the order of [`MEMBERS`], reports, as `kubectl skyfleet explain` has it from the operator.
async fn reported(fleet: &Fleet, what: &str) -> Result<[f64; 3], String> {
    let arguments = ["explain", "modeldeployment/minilm", "--namespace", NAMESPACE, "--output", "json"];
    let text = fleet.skyfleet(&arguments).await.map_err(|error| error.to_string())?;
    let explanation: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let candidates = explanation["snapshot"]["candidates"].as_array().cloned().unwrap_or_default();
    let of = |member: &str| {
        let candidate = candidates.iter().find(|candidate| candidate["name"] == member);
        candidate.and_then(|candidate| candidate["load"][what].as_f64())
    };
    let [first, second, third] = MEMBERS.map(of);
    first.zip(second).zip(third).map(|((first, second), third)| [first, second, third]).ok_or_else(|| text.clone())
}
