//! What a gateway tells the hub: a ModelRoute's status shows how requests go while it does, and no more once it has gone; and replicas are
//! placed by it.

mod placed;

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use skyfleet_e2e::{Cluster, ClusterSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::custom_resources::install_definitions;
use crate::gateway_process::Gateway;
use crate::hub::Hub;
use crate::operator_process::{NAMESPACE, OperatorProcess};
use crate::support::{eventually, lab, post};

/// The ModelDeployment, the ModelRoute to it, and the model that clients ask for.
const NAME: &str = "slow";
const MEMBER: &str = "aws-1";
/// How long an answer takes.
const THINKING: Duration = Duration::from_millis(400);
/// Who ask at once.
const CLIENTS: usize = 6;
/// How long a settled route is watched.
const STILL: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_routes_status_shows_how_requests_go() {
    let clusters = std::iter::once("hub").chain(placed::MEMBERS).map(ClusterSpec::control_plane);
    let lab = lab("reports", clusters.collect()).await;
    let hub_cluster = lab.cluster("hub").unwrap();
    install_definitions(&hub_cluster.kubeconfig()).await;
    let operator = OperatorProcess::start(hub_cluster, "one").await;
    let hub = Hub(hub_cluster.client().await.unwrap());
    let (replica, _serving) = slow_replica().await;
    deploy(&hub, &replica).await;

    let mut gateway = reporting_gateway(hub_cluster, &hub_cluster.kubeconfig()).await;
    let reports = Api::<ConfigMap>::namespaced(hub.0.clone(), NAMESPACE);
    let content = || async {
        let all = reports.list(&ListParams::default().labels("skyfleet.dev/gateway-report=true")).await.unwrap();
        let text = |report: &ConfigMap| report.data.as_ref().map(|data| data["v1"].clone());
        all.items.iter().filter_map(text).map(|text| serde_json::from_str::<Value>(&text).unwrap()).collect::<Vec<_>>()
    };
    eventually("a first report", || async {
        let all = content().await;
        if all.len() == 1 { Ok(()) } else { Err(all) }
    })
    .await;
    assert_eq!(content().await[0]["models"], json!({}), "nobody has asked for anything");

    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask_for_ever(gateway.address.clone(), NAME));
    }
    let shown = eventually("requests in the route's status", || async {
        let cluster = cluster_of(&hub).await;
        let milliseconds = cluster["responseMilliseconds"].as_u64();
        let is_shown =
            cluster["inFlight"].is_u64() && milliseconds.is_some_and(|time| u128::from(time) >= THINKING.as_millis());
        if is_shown { Ok(cluster) } else { Err(cluster) }
    })
    .await;
    println!("{shown} after {:?}", began.elapsed());
    eventually("as many requests in flight as there are clients, about", || async {
        let cluster = cluster_of(&hub).await;
        let most = CLIENTS as u64;
        if cluster["inFlight"].as_u64().is_some_and(|count| (most - 2..=most).contains(&count)) {
            Ok(())
        } else {
            Err(cluster)
        }
    })
    .await;
    println!("told in full after {:?}", began.elapsed());
    assert!(operator.get("/metrics").await.unwrap().contains("skyfleet_gateways_reporting 1\n"));
    // What stays about the same is not written again, although the gateway renews its report.
    eventually("ten seconds without a write", || async {
        let version = || async { hub.api("ModelRoute").get(NAME).await.unwrap().metadata.resource_version };
        let before = version().await;
        sleep(STILL).await;
        if version().await == before { Ok(()) } else { Err(before) }
    })
    .await;

    clients.shutdown().await;
    placed::new_replicas_go_where_reports_say(&lab, &hub, &operator, &gateway).await;
    gateway.stop().await;
    assert_eq!(content().await, Vec::<Value>::new(), "it has taken its report back");
    eventually("a status without requests", || async {
        let cluster = cluster_of(&hub).await;
        let is_silent = cluster["inFlight"].is_null() && cluster["responseMilliseconds"].is_null();
        if is_silent && cluster["cluster"] == MEMBER { Ok(()) } else { Err(cluster) }
    })
    .await;
    drop(gateway);
    assert!(operator.stop().await.success());
    lab.down().await.unwrap();
}

async fn cluster_of(hub: &Hub) -> Value {
    hub.status("ModelRoute", NAME).await["clusters"][0].clone()
}

/// Something that answers every request, after a while.
async fn slow_replica() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, serve(listener, [THINKING, Duration::ZERO]))
}

/// Answers every request: the head comes so long after it, and the body so long after that.
fn serve(listener: TcpListener, [head, body]: [Duration; 2]) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 8192];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    for (after, piece) in [(head, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"), (body, "{}")] {
                        sleep(after).await;
                        if stream.write_all(piece.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    })
}

/// A ModelDeployment whose status says that one replica answers at this address, and a ModelRoute to it. Nothing is decided for it, since
/// its dataset is missing, so that the status stays.
async fn deploy(hub: &Hub, address: &str) {
    let runtime = json!({"preset": "custom", "image": "example.org/none:1", "port": 8080});
    let model = json!({"name": NAME, "datasetReplica": {"name": "none"}});
    let spec = json!({"model": model, "runtime": runtime, "replicas": 1});
    hub.create("ModelDeployment", NAME, spec).await;
    hub.wait("ModelDeployment", NAME, ["Ready", "False", "ReferenceNotFound"]).await;
    let placement = json!({"cluster": MEMBER, "desired": 1, "replicas": 1, "ready": 1, "endpoint": address});
    let status = json!({"status": {"placements": [placement]}});
    let models = hub.api("ModelDeployment");
    models.patch_status(NAME, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let route = json!({"models": [NAME], "backends": [{"modelDeploymentRef": {"name": NAME}}]});
    hub.create("ModelRoute", NAME, route).await;
    hub.wait("ModelRoute", NAME, ["Ready", "True", "AsSpecified"]).await;
}

async fn ask_for_ever(address: String, model: &str) {
    let body = json!({"model": model}).to_string();
    loop {
        if post(&address, "/v1/embeddings", &body).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A gateway that reports, as the one that is called `one`.
pub(crate) async fn reporting_gateway(hub: &Cluster, kubeconfig: &Path) -> Gateway {
    Gateway::start_with(hub, kubeconfig, &["--report-namespace", NAMESPACE, "--name", "one"]).await
}
