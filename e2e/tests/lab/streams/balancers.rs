//! NGINX, HAProxy and Apache httpd, each with its agent beside it, in front of the same replicas.

use std::collections::BTreeSet;

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use skyfleet_e2e::{Cluster, install};

use super::balanced::Balanced;
use super::load::{Load, Outcome, Seen};
use super::{MEMBERS, MODEL};
use crate::hub::{Hub, condition};
use crate::support::eventually;

/// The ModelRoute.
const ROUTE: &str = "balanced";
/// Streams of each before a replica goes.
const SOME: usize = 24;

/// Each sends requests to the replicas of all clusters, and none fails while a replica goes and comes back.
pub(super) async fn are_in_front_of_all_clusters(hub_cluster: &Cluster, hub: &Hub) {
    install::check_balancers().unwrap();
    let backends = json!([{"modelDeploymentRef": {"name": MODEL}}]);
    let drivers = json!(["NGINX", "HAProxy", "Apache"]);
    let spec =
        json!({"pathPrefixes": ["/v1"], "backends": backends, "algorithm": "LeastResponseTime", "drivers": drivers});
    hub.create("ModelRoute", ROUTE, spec).await;
    let status = hub.wait("ModelRoute", ROUTE, ["Ready", "True", "AsSpecified"]).await;
    let limited = condition(&status, "Limited")["message"].as_str().unwrap();
    assert!(limited.contains("NGINX, spec.algorithm") && !limited.contains("HAProxy, spec.algorithm"), "{limited}");

    let mut servers = Vec::new();
    for start in [Balanced::nginx, Balanced::haproxy, Balanced::apache] {
        servers.push(start(hub_cluster));
    }
    for server in &servers {
        has_servers(server, MEMBERS.len()).await;
    }
    let loads: Vec<_> =
        servers.iter().zip(4..).map(|(server, number)| Load::start(&server.address, MODEL, number)).collect();
    for load in &loads {
        load.until("some have begun", |seen| seen.len() >= SOME).await;
    }
    for replicas in [MEMBERS.len() - 1, MEMBERS.len()] {
        let patch = json!({"spec": {"replicas": replicas}});
        hub.api("ModelDeployment").patch(MODEL, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        for server in &servers {
            has_servers(server, replicas).await;
        }
    }
    for (server, load) in servers.iter().zip(loads) {
        let seen = load.end().await;
        let clusters: BTreeSet<_> = seen.iter().filter_map(|seen| seen.cluster.as_deref()).collect();
        println!("{}: {} streams, by {clusters:?}", server.name, seen.len());
        assert!(clusters.into_iter().eq(MEMBERS), "{}", server.name);
        let broken: Vec<&Seen> = seen.iter().filter(|seen| seen.outcome != Outcome::Completed).collect();
        assert!(broken.is_empty(), "{}: {broken:?}", server.name);
    }
    hub.api("ModelRoute").delete(ROUTE, &DeleteParams::default()).await.unwrap();
    for server in &servers {
        eventually("nothing of a route that is gone", || async {
            let state = server.state().await?;
            if state["servers"] == json!({}) { Ok(()) } else { Err(state.to_string()) }
        })
        .await;
    }
}

/// Waits until the server says itself that it has so many that serve.
async fn has_servers(server: &Balanced, count: usize) {
    eventually(&format!("{} has {count} servers", server.name), || async {
        let state = server.state().await?;
        let servers = state["servers"][format!("default/{ROUTE}")].as_array().cloned().unwrap_or_default();
        let serving = servers.iter().filter(|server| server["state"] == "Serving").count();
        if serving == count && state["error"] == Value::Null { Ok(()) } else { Err(state.to_string()) }
    })
    .await;
}
