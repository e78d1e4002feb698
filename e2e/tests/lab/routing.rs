//! The gateway in front of a model in two clouds: requests by the model's name, who answers them, and what the ModelRoute says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use skyfleet_e2e::browser::Browser;
use skyfleet_e2e::fleet::embed;
use skyfleet_e2e::{ClusterSpec, artifacts};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use crate::custom_resources::install_definitions;
use crate::gateway_process::Gateway;
use crate::hub::Hub;
use crate::operator_process::OperatorProcess;
use crate::support::{eventually, get, lab, post};

const MEMBERS: [&str; 2] = ["aws-1", "gcp-1"];
/// What clients ask for.
const MODEL: &str = "all-MiniLM-L6-v2";
/// The ModelDeployment, and the ModelRoute to it.
const NAME: &str = "minilm";
/// How long a settled route is watched.
const STILL: Duration = Duration::from_secs(10);
/// Who ask at once while replicas go.
const CLIENTS: usize = 4;
/// Between an answer and a client's next request.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_to_the_replicas_of_all_clusters() {
    let build = || (artifacts::inference_server_image().unwrap(), artifacts::model().unwrap());
    let (server, model) = spawn_blocking(build).await.unwrap();
    let clusters = std::iter::once(ClusterSpec::control_plane("hub")).chain(MEMBERS.map(ClusterSpec::with_pods));
    let lab = lab("routing", clusters.collect()).await;
    let hub_cluster = lab.cluster("hub").unwrap();
    install_definitions(&hub_cluster.kubeconfig()).await;
    let operator = OperatorProcess::start(hub_cluster, "one").await;
    let hub = Hub(hub_cluster.client().await.unwrap());
    for member in MEMBERS {
        lab.load_image(member, &server.archive).await.unwrap();
        hub.join(lab.cluster(member).unwrap()).await;
    }

    hub.create("ModelRoute", NAME, route()).await;
    hub.wait("ModelRoute", NAME, ["Ready", "False", "ReferenceNotFound"]).await;
    serve(&hub, &server.reference, &model).await;
    let status = hub.wait("ModelRoute", NAME, ["Ready", "True", "AsSpecified"]).await;
    assert!(status["readyEndpoints"].as_i64().unwrap() > 0, "{status}");
    eventually("both clusters in the route's status", || async {
        let status = hub.status("ModelRoute", NAME).await;
        if status["ready"] == "2/2" && clusters_of(&status) == MEMBERS { Ok(()) } else { Err(status) }
    })
    .await;

    let gateway = Gateway::start(hub_cluster).await;
    assert_the_model_is_served(&gateway).await;
    hub.create("ModelRoute", "younger", route()).await;
    let conflict = hub.wait("ModelRoute", "younger", ["Ready", "False", "RouteConflict"]).await;
    assert!(conflict["conditions"][0]["message"].as_str().unwrap().contains("default/minilm"), "{conflict}");
    assert_the_page_shows_it(&gateway).await;
    assert_nothing_is_written(&hub).await;

    let load = Load::start(&gateway.address);
    let patch = json!({"spec": {"replicas": 1}});
    hub.api("ModelDeployment").patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    eventually("one replica less", || async {
        let status = hub.status("ModelRoute", NAME).await;
        if status["ready"] == "1/1" && clusters_of(&status).len() == 1 { Ok(()) } else { Err(status) }
    })
    .await;
    // What kept a connection notices it by now.
    sleep(Duration::from_secs(3)).await;
    let answered = load.end().await;
    println!("{answered} requests answered and none failed while a cluster's replica went");
    assert!(answered > 20, "{answered}");

    hub.api("ModelRoute").delete(NAME, &DeleteParams::default()).await.unwrap();
    hub.wait("ModelRoute", "younger", ["Ready", "True", "AsSpecified"]).await;
    embed(&gateway.address, "the other route has it").await.unwrap();
    drop(gateway);
    assert!(operator.stop().await.success());
    lab.down().await.unwrap();
}

fn route() -> Value {
    json!({"models": [MODEL], "backends": [{"modelDeploymentRef": {"name": NAME}}], "algorithm": "LeastConnection"})
}

/// One replica of the inference server in each member, with the model from the machine that the nodes share.
async fn serve(hub: &Hub, image: &str, model: &Path) {
    let mount = json!({"name": "model", "mountPath": "/models", "readOnly": true});
    let spec = json!({
        "model": {"name": MODEL, "image": {}},
        "runtime": {
            "preset": "custom", "image": image, "port": 8080, "args": ["--model-dir", "/models"],
            "probes": {"readiness": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 2}},
            "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "768Mi"}},
            "podTemplate": {"spec": {
                "containers": [{"name": "runtime", "volumeMounts": [mount]}],
                "volumes": [{"name": "model", "hostPath": {"path": model}}],
            }},
        },
        "replicas": MEMBERS.len(),
        "placement": {"strategy": "RoundRobin"},
        "service": {"type": "NodePort", "port": 80},
    });
    hub.create("ModelDeployment", NAME, spec).await;
    hub.wait("ModelDeployment", NAME, ["Ready", "True", "AsSpecified"]).await;
}

fn clusters_of(status: &Value) -> Vec<&str> {
    let clusters = status["clusters"].as_array().into_iter().flatten();
    clusters.map(|of| of["cluster"].as_str().unwrap()).collect()
}

/// The model is listed and answered by both clusters, and another one is not there.
async fn assert_the_model_is_served(gateway: &Gateway) {
    let models = eventually("the model's name", || async {
        let models: Value = serde_json::from_str(&get(&gateway.address, "/v1/models").await?).unwrap();
        if models["data"].as_array().is_some_and(Vec::is_empty) { Err("none".to_owned()) } else { Ok(models) }
    })
    .await;
    assert_eq!(models["data"][0]["id"], MODEL, "{models}");
    eventually("answers of both clusters", || async {
        embed(&gateway.address, "who is it?").await.unwrap();
        let answered = gateway.answered_by();
        if answered.len() == MEMBERS.len() { Ok(()) } else { Err(answered) }
    })
    .await;
    assert_eq!(gateway.answered_by().iter().map(String::as_str).collect::<Vec<_>>(), MEMBERS);
    let body = json!({"model": "nobody", "input": "x"}).to_string();
    let refused = post(&gateway.address, "/v1/embeddings", &body).await.unwrap_err();
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.lines().next().unwrap().contains(" 404 "), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["code"], "model_not_found", "{body}");
}

/// A person sees the route and the clusters in a browser.
async fn assert_the_page_shows_it(gateway: &Gateway) {
    let browser = Browser::start().await.unwrap();
    browser.open(&format!("http://{}/", gateway.admin)).await.unwrap();
    eventually("the route and its clusters on the page", || async {
        let text = browser.run("return document.querySelector('main').innerText").await.unwrap();
        let text = text.as_str().unwrap_or_default().to_owned();
        let is_shown = |what: &&str| text.contains(*what);
        if ["default/minilm", MODEL].iter().chain(&MEMBERS).all(is_shown) { Ok(()) } else { Err(text) }
    })
    .await;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab-routing.png");
    browser.screenshot(&file).await.unwrap();
    assert_eq!(browser.console().await.unwrap(), Vec::<String>::new());
}

/// Once settled, neither of the routes is written to.
async fn assert_nothing_is_written(hub: &Hub) {
    let versions = || async {
        let routes = hub.api("ModelRoute").list(&ListParams::default()).await.unwrap();
        routes.iter().map(|route| (route.name_any(), route.resource_version())).collect::<Vec<_>>()
    };
    eventually("ten seconds without a write", || async {
        let before = versions().await;
        sleep(STILL).await;
        if versions().await == before { Ok(()) } else { Err(before) }
    })
    .await;
}

/// Clients that ask all the time, each one request after the other.
struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<(usize, Vec<String>)>,
}

impl Load {
    fn start(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(ask_until(stop.clone(), address.to_owned()));
        }
        Self { stop, clients }
    }

    /// How many were answered; none may have failed.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let (answered, failed): (Vec<_>, Vec<_>) = self.clients.join_all().await.into_iter().unzip();
        assert_eq!(failed.concat(), Vec::<String>::new(), "beside {answered:?} answered");
        answered.iter().sum()
    }
}

async fn ask_until(stop: Arc<AtomicBool>, address: String) -> (usize, Vec<String>) {
    let (mut answered, mut failed) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        match embed(&address, "does somebody answer?").await {
            Ok(_) => answered += 1,
            Err(error) => failed.push(error),
        }
        sleep(PAUSE).await;
    }
    (answered, failed)
}
