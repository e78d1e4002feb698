//! New replicas go where a gateway's report has them go. One cluster is quick to begin an answer and takes long to end it, the other one
//! the other way round: each strategy that goes by load prefers another one, and `RoundRobin` would place neither's replicas as it does.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use skyfleet_e2e::Lab;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::{ask_for_ever, serve};
use crate::gateway_process::Gateway;
use crate::hub::Hub;
use crate::operator_process::OperatorProcess;
use crate::support::eventually;

/// The ModelDeployment, the ModelRoute to it, and the model that clients ask for.
const NAME: &str = "placed";
/// Its answers begin at once and end late: many requests are in flight.
const BUSY: &str = "azure-1";
/// Its answers begin late and end with that.
const LATE: &str = "gcp-1";
/// Members without nodes.
pub(super) const MEMBERS: [&str; 2] = [LATE, BUSY];
/// Where their replicas answer.
const ADDRESSES: [&str; 2] = ["127.0.0.2", "127.0.0.3"];
const CLIENTS: usize = 6;

/// There is one replica in each cluster: one more is placed by requests in flight, and then three by response time.
pub(super) async fn new_replicas_go_where_reports_say(
    lab: &Lab,
    hub: &Hub,
    operator: &OperatorProcess,
    gateway: &Gateway,
) {
    let began = Instant::now();
    join(lab, hub).await;
    let _serving = deploy(lab, hub).await;
    let route =
        json!({"models": [NAME], "backends": [{"modelDeploymentRef": {"name": NAME}}], "algorithm": "RoundRobin"});
    hub.create("ModelRoute", NAME, route).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask_for_ever(gateway.address.clone(), NAME));
    }
    let loads = eventually("both clusters' loads as the gateway has them", || async {
        let loads = loads(operator).await;
        let [late, busy] = loads.as_ref().map_err(ToString::to_string)?;
        let is_told = busy.in_flight > 2.0 * late.in_flight && late.first_byte > 2.0 * busy.first_byte;
        if is_told { loads } else { Err(format!("{loads:?}")) }
    })
    .await;
    println!("{MEMBERS:?}: {loads:?} after {:?}", began.elapsed());

    scale(hub, "LeastConnection", 3).await;
    wait_for_shares(hub, [2, 1], "LeastConnection by requests in flight").await;
    scale(hub, "LeastResponseTime", 6).await;
    wait_for_shares(hub, [2, 4], "LeastResponseTime by time to first token, then round trip").await;
    println!("placed by that after {:?}", began.elapsed());
    clients.shutdown().await;
}

async fn join(lab: &Lab, hub: &Hub) {
    for member in MEMBERS {
        hub.join(lab.cluster(member).unwrap()).await;
        // Nobody has a node to count.
        let patch = Patch::Merge(json!({"spec": {"capacityPolicy": "Elastic"}}));
        hub.api("Cluster").patch(member, &PatchParams::default(), &patch).await.unwrap();
    }
}

/// One replica in each member, which is ready as far as its cluster knows, and what answers in its place.
async fn deploy(lab: &Lab, hub: &Hub) -> [JoinHandle<()>; 2] {
    let [late, busy] = listeners().await;
    let port = late.local_addr().unwrap().port();
    let slow = Duration::from_millis(400);
    let serving = [serve(late, [slow, Duration::ZERO]), serve(busy, [Duration::ZERO, 5 * slow])];
    let spec = json!({
        "model": {"name": NAME, "image": {}}, "replicas": 2, "placement": {"strategy": "LeastConnection"},
        "runtime": {"preset": "custom", "image": "example.org/none:1", "port": 8080},
        "service": {"type": "LoadBalancer", "port": port},
    });
    hub.create("ModelDeployment", NAME, spec).await;
    for (member, address) in MEMBERS.into_iter().zip(ADDRESSES) {
        let client = lab.cluster(member).unwrap().client().await.unwrap();
        eventually("a pod", || make_ready(&client)).await;
        eventually("a load balancer", || balance(&client, address)).await;
    }
    hub.wait("ModelDeployment", NAME, ["Ready", "True", "AsSpecified"]).await;
    serving
}

/// The same port at both addresses: it is that of the Service.
async fn listeners() -> [TcpListener; 2] {
    let [first, second] = ADDRESSES;
    loop {
        let listener = TcpListener::bind((first, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        if let Ok(other) = TcpListener::bind((second, port)).await {
            return [listener, other];
        }
    }
}

/// Says of the member's pod what a node would.
async fn make_ready(member: &Client) -> Result<(), String> {
    let pods = Api::<Pod>::default_namespaced(member.clone());
    let found = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
    let pod = found.items.first().ok_or("none")?.name_any();
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let patched = pods.patch_status(&pod, &PatchParams::default(), &Patch::Strategic(status)).await;
    patched.map(drop).map_err(|error| error.to_string())
}

/// Says of the member's Service what a cloud would.
async fn balance(member: &Client, address: &str) -> Result<(), String> {
    let services = Api::<Service>::default_namespaced(member.clone());
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}});
    let patched = services.patch_status(NAME, &PatchParams::default(), &Patch::Merge(status)).await;
    patched.map(drop).map_err(|error| error.to_string())
}

#[derive(Clone, Copy, Debug)]
struct Load {
    in_flight: f64,
    /// In seconds.
    first_byte: f64,
}

/// What placement goes by in each member, as `kubectl skyfleet explain` asks the operator for it.
async fn loads(operator: &OperatorProcess) -> Result<[Load; 2], String> {
    let text = operator.get(&format!("/explain/default/{NAME}")).await?;
    let explained: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let candidates = explained["snapshot"]["candidates"].as_array().cloned().unwrap_or_default();
    let load = |member: &str| {
        let load = &candidates.iter().find(|candidate| candidate["name"] == member)?["load"];
        Some(Load { in_flight: load["inFlight"].as_f64()?, first_byte: load["timeToFirstToken"].as_f64()? })
    };
    let [late, busy] = MEMBERS.map(load);
    late.zip(busy).map(|(late, busy)| [late, busy]).ok_or(text)
}

async fn scale(hub: &Hub, strategy: &str, replicas: i32) {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas, "placement": {"strategy": strategy}}}));
    hub.api("ModelDeployment").patch(NAME, &PatchParams::default(), &patch).await.unwrap();
}

/// Waits until the members have so many replicas, shared out by this.
async fn wait_for_shares(hub: &Hub, shares: [i64; 2], strategy: &str) {
    eventually(&format!("{shares:?} {strategy}"), || async {
        let status = hub.status("ModelDeployment", NAME).await;
        let placements = status["placements"].as_array().cloned().unwrap_or_default();
        let share = |member| placements.iter().find(|of| of["cluster"] == member)?["desired"].as_i64();
        let is_so = MEMBERS.map(share) == shares.map(Some) && status["strategy"] == strategy;
        if is_so { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}
