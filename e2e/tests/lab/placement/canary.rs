//! A change goes over the clusters in waves; one whose canary fails goes back by itself.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fleet::{MEMBERS, Members, REPLICAS};
use super::load::Load;
use crate::support::{eventually, kubectl};

const CANARY: &str = "aws-1";

pub(super) async fn a_canary_that_fails_is_rolled_back_and_a_good_one_goes_all_the_way(members: &Members) {
    let rollout = json!({
        "waves": [{"clusters": [CANARY]}, {"percent": 50}], "soakSeconds": 3, "progressDeadlineSeconds": 25,
    });
    members.patch(&json!({"spec": {"rollout": rollout}})).await;
    phase(members, "Complete").await;
    let before = generations(members).await;
    let load = Load::start(members).await;

    // Nothing is at that path: the readiness probe fails.
    members.patch(&json!({"spec": {"runtime": {"args": ["--www=/missing"]}}})).await;
    phase(members, "Progressing").await;
    let status = phase(members, "RolledBack").await;
    println!("rolled back: {}", status["rollout"]["message"]);
    eventually("the canary runs what it ran before", || async {
        let found = members.deployment(CANARY).await;
        let (args, status) = (args(&found), found.status.clone().unwrap_or_default());
        let back = args.is_empty() && status.updated_replicas == Some(2) && status.replicas == Some(2);
        if back { Ok(()) } else { Err(format!("{args:?} {status:?}")) }
    })
    .await;
    let after = generations(members).await;
    for member in MEMBERS.into_iter().filter(|member| *member != CANARY) {
        assert_eq!(after[member], before[member], "{member} was changed by a change whose canary failed");
    }
    let seen = load.end().await;
    assert!(seen.failed.is_empty(), "requests failed: {seen:?}");
    assert!(seen.ready.iter().all(|(_, ready)| *ready >= REPLICAS), "{:?}", seen.ready);

    members.patch(&json!({"spec": {"runtime": {"args": ["--keepalive=1s"]}}})).await;
    let mut order = Vec::new();
    eventually("the good change is everywhere", || async {
        let status = members.status().await;
        if status["rollout"]["phase"] == "Complete" { Ok(()) } else { Err(status["rollout"].to_string()) }
    })
    .await;
    members.wait_ready().await;
    for member in MEMBERS {
        assert_eq!(args(&members.deployment(member).await), ["--keepalive=1s"], "{member}");
        order.push(member);
    }
    let history =
        kubectl(&members.hub_cluster().kubeconfig(), &["get", "controllerrevisions", "-o", "name"]).await.unwrap();
    assert_eq!(history.lines().count(), 3, "{history}");
}

async fn phase(members: &Members, wanted: &str) -> Value {
    eventually(&format!("the rollout is {wanted}"), || async {
        let status = members.status().await;
        if status["rollout"]["phase"] == wanted { Ok(status) } else { Err(status["rollout"].to_string()) }
    })
    .await
}

/// The generation of each member's Deployment: it counts the changes.
async fn generations(members: &Members) -> BTreeMap<&'static str, i64> {
    let mut all = BTreeMap::new();
    for member in MEMBERS {
        all.insert(member, members.deployment(member).await.metadata.generation.unwrap());
    }
    all
}

fn args(deployment: &k8s_openapi::api::apps::v1::Deployment) -> Vec<String> {
    let template = &deployment.spec.as_ref().unwrap().template;
    template.spec.as_ref().unwrap().containers[0].args.clone().unwrap_or_default()
}
