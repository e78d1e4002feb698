//! A gateway in one of two members whose Services are open to nobody outside: it reaches each pod of its own cluster, and the other
//! cluster through the API server, or where both are one network each pod there, too.

mod live;
mod rights;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use skyfleet_e2e::{Cluster, ClusterSpec, artifacts};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::custom_resources::install_definitions;
use crate::gateway_process::Gateway;
use crate::hub::{Hub, condition};
use crate::operator_process::OperatorProcess;
use crate::paced::{MODEL, spec};
use crate::support::{eventually, lab, post};
use live::{assert_one_network_reaches_each_pod, assert_slices_alone_are_enough, assert_slices_count_at_once};
use rights::{allow_slices, bind, narrow_kubeconfig, unbind};

/// The member that the gateway is in, and the other one.
const OWN: &str = "aws-1";
const OTHER: &str = "gcp-1";
/// Tokens of a stream, a tenth of a second apart.
const TOKENS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_reached_directly_and_closed_clusters_through_their_api_servers() {
    let image = spawn_blocking(artifacts::paced_server_image).await.unwrap().unwrap();
    let clusters = std::iter::once(ClusterSpec::control_plane("hub")).chain([OWN, OTHER].map(ClusterSpec::with_pods));
    let lab = lab("reaching", clusters.collect()).await;
    let hub_cluster = lab.cluster("hub").unwrap();
    install_definitions(&hub_cluster.kubeconfig()).await;
    let operator = OperatorProcess::start(hub_cluster, "one").await;
    let hub = Hub(hub_cluster.client().await.unwrap());
    for member in [OWN, OTHER] {
        lab.load_image(member, &image.archive).await.unwrap();
        hub.join(lab.cluster(member).unwrap()).await;
    }
    serve(&hub, &image.reference).await;
    let (own, other) = (lab.cluster(OWN).unwrap(), lab.cluster(OTHER).unwrap());
    let folder = narrow_kubeconfig(other, hub_cluster.folder()).await;
    let (own_kubeconfig, folder) = (own.kubeconfig(), folder.to_str().unwrap().to_owned());
    let arguments =
        ["--cluster", OWN, "--cluster-kubeconfig", own_kubeconfig.to_str().unwrap(), "--api-servers", &folder];
    let gateway = Gateway::start_with(hub_cluster, &hub_cluster.kubeconfig(), &arguments).await;

    assert_endpoints(&gateway, own).await;
    // The gateway asks again in a while: the next steps take longer.
    allow_slices(other).await;
    assert_both_stream(&gateway).await;
    assert_a_pod_may_go(&gateway, own).await;
    assert_a_rollout_fails_nothing(&hub, &gateway).await;
    assert_the_other_may_refuse(&gateway, other).await;
    // What the hub says stays as it is from now on.
    assert!(operator.stop().await.success());
    assert_slices_count_at_once(&gateway, other).await;
    assert_one_network_reaches_each_pod(&hub, &gateway, other).await;
    assert_residency_is_obeyed(&hub, &gateway).await;

    drop(gateway);
    assert_slices_alone_are_enough(&hub, hub_cluster, (other, &folder)).await;
    lab.down().await.unwrap();
}

/// Two replicas in each member, behind a Service that only their cluster reaches.
async fn serve(hub: &Hub, image: &str) {
    let spec = spec(image, 4, "ClusterIP");
    hub.create("ModelDeployment", MODEL, spec).await;
    hub.wait("ModelDeployment", MODEL, ["Ready", "True", "AsSpecified"]).await;
    let route = json!({
        "models": [MODEL], "backends": [{"modelDeploymentRef": {"name": MODEL}}],
        "algorithm": "RoundRobin", "locality": {"policy": "Any"},
    });
    hub.create("ModelRoute", MODEL, route).await;
    let status = hub.wait("ModelRoute", MODEL, ["Ready", "False", "NoEndpoints"]).await;
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(message.contains("kubeconfig for its API server"), "who is outside is told what helps: {message}");
}

/// The pods of the gateway's own cluster by their names, and the Service of the other one.
async fn assert_endpoints(gateway: &Gateway, own: &Cluster) {
    let pods = Api::<Pod>::default_namespaced(own.client().await.unwrap());
    eventually("each pod here, and the Service there", || async {
        let names: BTreeSet<_> = pods
            .list(&ListParams::default().labels(&format!("skyfleet.dev/model-deployment={MODEL}")))
            .await
            .map_err(|error| error.to_string())?
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .filter_map(|pod| pod.metadata.name)
            .collect();
        let found = endpoints(gateway).await?;
        let service = (OTHER.to_owned(), "service".to_owned());
        let mut expected: BTreeSet<_> = names.into_iter().map(|name| (OWN.to_owned(), name)).collect();
        expected.insert(service);
        if found == expected && found.len() == 3 { Ok(()) } else { Err(format!("{found:?} instead of {expected:?}")) }
    })
    .await;
}

/// Cluster and name of those that get requests.
async fn endpoints(gateway: &Gateway) -> Result<BTreeSet<(String, String)>, String> {
    let routes = gateway.routes().await?;
    let all = routes[0]["backends"][0]["endpoints"].as_array().cloned().unwrap_or_default();
    let serving = all.iter().filter(|endpoint| endpoint["condition"] == "Serving");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(serving.map(|endpoint| (text(&endpoint["cluster"]), text(&endpoint["name"]))).collect())
}

/// A whole stream.
async fn ask(address: &str) -> Result<(), String> {
    let body = json!({"model": MODEL, "stream": true, "max_tokens": TOKENS, "messages": []}).to_string();
    let answer = post(address, "/v1/chat/completions", &body).await?;
    if answer.contains("data: [DONE]") { Ok(()) } else { Err(answer) }
}

/// Both clusters answer, and what they say comes as they say it.
async fn assert_both_stream(gateway: &Gateway) {
    for _ in 0..12 {
        ask(&gateway.address).await.unwrap();
    }
    let answered = eventually("all in the log", || async {
        let log = gateway.log();
        if log.len() >= 12 { Ok(log) } else { Err(log.len()) }
    })
    .await;
    for cluster in [OWN, OTHER] {
        let of_cluster: Vec<_> = answered.iter().filter(|line| line["member_cluster"] == cluster).collect();
        assert!(!of_cluster.is_empty(), "{cluster} has answered nothing");
        for line in of_cluster {
            let time = |name: &str| line[name].as_f64().unwrap();
            let after_first = time("duration_ms") - time("first_byte_ms");
            // Were they held back, all would come at once.
            assert!(after_first > 300.0, "{cluster}: events came within {after_first} ms of the first");
        }
    }
}

/// Clients see nothing of a pod that goes, and one that comes gets its share.
async fn assert_a_pod_may_go(gateway: &Gateway, own: &Cluster) {
    let load = Load::start(gateway);
    let before = endpoints(gateway).await.unwrap();
    let (_, gone) = before.iter().find(|(cluster, _)| cluster == OWN).unwrap();
    let pods = Api::<Pod>::default_namespaced(own.client().await.unwrap());
    pods.delete(gone, &DeleteParams::default()).await.unwrap();
    eventually("another pod in its place", || async {
        let now = endpoints(gateway).await?;
        if now.len() == before.len() && now != before { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    assert_endpoints(gateway, own).await;
    sleep(Duration::from_secs(2)).await;
    println!("{} streams and none failed while a pod of the own cluster went and another came", load.end().await);
}

/// All pods are replaced, in both clusters, and clients see nothing of it.
async fn assert_a_rollout_fails_nothing(hub: &Hub, gateway: &Gateway) {
    let load = Load::start(gateway);
    let before = endpoints(gateway).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"runtime": {"args": ["--between", "90"]}}}));
    let changed = hub.api("ModelDeployment").patch(MODEL, &PatchParams::default(), &patch).await.unwrap();
    eventually("the new revision everywhere", || async {
        let status = hub.status("ModelDeployment", MODEL).await;
        let is_ready = condition(&status, "Ready")["status"] == "True";
        let now = endpoints(gateway).await?;
        let own = |(cluster, _): &&(String, String)| cluster == OWN;
        let is_new = now.len() == before.len() && now.intersection(&before).filter(own).count() == 0;
        let is_seen = status["observedGeneration"].as_i64() == changed.metadata.generation;
        if is_ready && is_seen && is_new { Ok(()) } else { Err(format!("{now:?} {status}")) }
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    println!("{} streams and none failed while all pods of both clusters were replaced", load.end().await);
}

/// Clients that ask all the time.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Load {
    fn start(gateway: &Gateway) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..4).map(|_| tokio::spawn(ask_until(stop.clone(), gateway.address.clone()))).collect();
        Self { stop, clients }
    }

    /// How many were answered; none may have failed.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut answered = 0;
        for client in self.clients {
            answered += client.await.unwrap();
        }
        answered
    }
}

async fn ask_until(stop: Arc<AtomicBool>, address: String) -> usize {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        ask(&address).await.unwrap();
        answered += 1;
    }
    answered
}

/// Without the right to use it, its API server says no, and the own cluster answers.
async fn assert_the_other_may_refuse(gateway: &Gateway, other: &Cluster) {
    let client = other.client().await.unwrap();
    unbind(client.clone()).await;
    eventually("a request that the other cluster refuses", || async {
        ask(&gateway.address).await.unwrap();
        let log = gateway.log();
        let again = log.iter().any(|line| line["attempts"] == 2 && line["member_cluster"] == OWN);
        if again { Ok(()) } else { Err("none was sent again") }
    })
    .await;
    bind(&client).await;
}

/// Requests that must not leave the region of the own cluster do not.
async fn assert_residency_is_obeyed(hub: &Hub, gateway: &Gateway) {
    let patch = |value: Value| (PatchParams::default(), Patch::Merge(value));
    let (params, region) = patch(json!({"spec": {"region": "us-east-1"}}));
    hub.api("Cluster").patch(OTHER, &params, &region).await.unwrap();
    let (params, bound) = patch(json!({"spec": {"locality": {"residency": {"regions": ["eu-central-1"]}}}}));
    hub.api("ModelRoute").patch(MODEL, &params, &bound).await.unwrap();
    eventually("only the own cluster", || async {
        let found = endpoints(gateway).await?;
        let is_own = found.iter().all(|(cluster, _)| cluster == OWN);
        if is_own && found.len() == 2 { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    ask(&gateway.address).await.unwrap();
}
