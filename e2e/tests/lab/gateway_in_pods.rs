//! The gateway as the chart runs it, in pods of a cluster that is hub and member at once: requests through its Service to a pod behind
//! a ClusterIP, which it finds by itself, also while the gateway's pods are replaced. There is no such pod until somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use skyfleet_e2e::{Cluster, ClusterSpec, artifacts};
use tokio::task::spawn_blocking;

use crate::hub::Hub;
use crate::installed_charts::helm_on;
use crate::operator_process::NAMESPACE;
use crate::paced::{MODEL, spec};
use crate::support::{eventually, get, kubectl, lab, post_within};

const HUB: &str = "hub";
const GATEWAY: &str = "deployment/skyfleet-gateway";
const IN_NAMESPACE: &str = "--namespace=skyfleet-system";

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_gateways_leads_to_replicas_inside_the_cluster() {
    let build = || (artifacts::skyfleet_image().unwrap(), artifacts::paced_server_image().unwrap());
    let (skyfleet, server) = spawn_blocking(build).await.unwrap();
    let lab = lab("gateways", vec![ClusterSpec::with_pods(HUB)]).await;
    for image in [&skyfleet, &server] {
        lab.load_image(HUB, &image.archive).await.unwrap();
    }
    let cluster = lab.cluster(HUB).unwrap();
    install(cluster, &skyfleet).await;
    let hub = Hub(cluster.client().await.unwrap());
    hub.join(cluster).await;
    serve(&hub, &server.reference).await;

    let port =
        text(cluster, &["get", "service", "skyfleet-gateway", "--output=jsonpath={.spec.ports[0].nodePort}"]).await;
    let address = format!("{}:{port}", cluster.address());
    eventually("the gateway's Service", || listed(&address)).await;
    // It brings the replica, waits until that is there, and is answered.
    let answer = ask_within(Duration::from_mins(5), &address).await.unwrap();
    let model = hub.api("ModelDeployment").get(MODEL).await.unwrap();
    assert!(model.metadata.annotations.unwrap_or_default().contains_key("skyfleet.dev/requested-at"));
    assert!(answer.contains("chat.completion.chunk"), "{answer}");
    let list = [
        "get",
        "pods",
        "--selector=app.kubernetes.io/component=gateway",
        "--output=jsonpath={.items[0].metadata.name}",
    ];
    let pod = text(cluster, &list).await;
    let admin = |path: &str| format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8001/proxy{path}");
    let routes = text(cluster, &["get", "--raw", &admin("/routes")]).await;
    assert!(routes.contains(r#""name":"paced-"#) && routes.contains("Serving"), "a pod, not its Service: {routes}");
    assert!(text(cluster, &["get", "--raw", &admin("/")]).await.contains("<title>Skyfleet gateway</title>"));

    let stop = Arc::new(AtomicBool::new(false));
    let client = tokio::spawn(ask_until(stop.clone(), address));
    text(cluster, &["rollout", "restart", GATEWAY]).await;
    rolled_out(cluster).await;
    // It is told to end only now, and its Service has to leave it out before it does.
    text(cluster, &["wait", "--for=delete", &format!("pod/{pod}"), "--timeout=5m"]).await;
    stop.store(true, Ordering::Relaxed);
    let answered = client.await.unwrap();
    println!("{answered} requests answered and none failed while the gateway's pods were replaced");
    assert!(answered > 0);
    lab.down().await.unwrap();
}

/// Both charts, with one pod of each Deployment.
async fn install(cluster: &Cluster, image: &artifacts::BuiltImage) {
    let kubeconfig = cluster.kubeconfig();
    kubectl(&kubeconfig, &["create", "namespace", NAMESPACE]).await.unwrap();
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&kubeconfig, &["label", "namespace", NAMESPACE, enforce]).await.unwrap();
    let (repository, tag) = image.repository_and_tag();
    // The rules of a node that is busy follow late when a pod ends.
    let values = format!(
        "image.repository={repository},image.tag={tag},log.format=text,replicas=1,gateway.enabled=true,gateway.replicas=1,\
         gateway.cluster={HUB},gateway.service.type=NodePort,gateway.stopDelaySeconds=20"
    );
    let upgrade = ["upgrade", "--install", "--namespace", NAMESPACE];
    helm_on(&kubeconfig, &[&upgrade[..], &["skyfleet-crds", "skyfleet-crds"]].concat()).await;
    let wait = ["--set", &values, "--wait", "--timeout", "5m", "skyfleet", "skyfleet"];
    helm_on(&kubeconfig, &[&upgrade[..], &wait[..]].concat()).await;
}

async fn serve(hub: &Hub, image: &str) {
    let mut spec = spec(image, 0, "ClusterIP");
    // It tells nothing of its load, so that the number stays once there is one.
    spec["runtime"]["metrics"] = json!({"inFlight": "requests_in_flight"});
    spec["autoscaling"] = json!({"minReplicas": 0, "maxReplicas": 1, "targetInFlight": 8});
    hub.create("ModelDeployment", MODEL, spec).await;
    let queue = json!({"maxRequests": 8, "timeoutSeconds": 300});
    let backends = json!([{"modelDeploymentRef": {"name": MODEL}}]);
    hub.create("ModelRoute", MODEL, json!({"models": [MODEL], "backends": backends, "limits": {"queue": queue}})).await;
}

async fn rolled_out(cluster: &Cluster) {
    text(cluster, &["rollout", "status", GATEWAY, "--timeout=5m"]).await;
}

/// What kubectl says of the namespace of the charts.
async fn text(cluster: &Cluster, arguments: &[&str]) -> String {
    kubectl(&cluster.kubeconfig(), &[arguments, &[IN_NAMESPACE]].concat()).await.unwrap()
}

/// Whether the gateway knows the model.
async fn listed(address: &str) -> Result<(), String> {
    let answer = get(address, "/v1/models").await?;
    if answer.contains(MODEL) { Ok(()) } else { Err(answer) }
}

/// A whole stream of three tokens.
async fn ask(address: &str) -> Result<String, String> {
    ask_within(Duration::from_secs(10), address).await
}

async fn ask_within(limit: Duration, address: &str) -> Result<String, String> {
    let body = json!({"model": MODEL, "stream": true, "max_tokens": 3, "messages": []}).to_string();
    let answer = post_within(limit, address, "/v1/chat/completions", &body).await?;
    if answer.contains("data: [DONE]") { Ok(answer) } else { Err(answer) }
}

/// Asks all the time; how many were answered. None may fail.
async fn ask_until(stop: Arc<AtomicBool>, address: String) -> usize {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        ask(&address).await.unwrap();
        answered += 1;
    }
    answered
}
