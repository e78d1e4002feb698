//! Replicas that the gateway reaches by TLS on both sides, by gRPC, and through an Ingress, in a cluster whose pods and certificates
//! are real.

mod calls;
mod certificates;
mod ingress;
mod load;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use skyfleet_e2e::{Cluster, ClusterSpec, artifacts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::custom_resources::install_definitions;
use crate::gateway_process::Gateway;
use crate::hub::{Hub, condition};
use crate::operator_process::OperatorProcess;
use crate::paced::{MODEL, spec};
use crate::support::{eventually, get, lab};
use calls::{Calls, SERVICE};
use certificates::{Authority, Issued};
use load::{Load, ask};

const MEMBER: &str = "aws-1";
/// The model whose pods speak TLS, and the ModelDeployment.
const ENCRYPTED: &str = "encrypted";
/// A model, of the same pods, whose route trusts another authority.
const MISTRUSTING: &str = "mistrusting";
/// The name in the certificates of pods.
const POD_NAME: &str = "pods.models.test";
/// The name of the Ingress, which only the gateway finds.
const INGRESS: &str = "aws-1.models.test";
/// Far more than a stream may take.
const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_reached_by_tls_by_grpc_and_through_an_ingress() {
    let image = spawn_blocking(artifacts::paced_server_image).await.unwrap().unwrap();
    let lab = lab("encrypted", vec![ClusterSpec::control_plane("hub"), ClusterSpec::with_pods(MEMBER)]).await;
    let (hub_cluster, member) = (lab.cluster("hub").unwrap(), lab.cluster(MEMBER).unwrap());
    install_definitions(&hub_cluster.kubeconfig()).await;
    // It reads Secrets each half minute of its life: the sooner it begins, the sooner it sees those that change.
    let gateway = Gateway::start_with_hosts(hub_cluster, &format!("{} {INGRESS}\n", member.address())).await;
    let operator = OperatorProcess::start(hub_cluster, "one").await;
    let hub = Hub(hub_cluster.client().await.unwrap());
    lab.load_image(MEMBER, &image.archive).await.unwrap();
    hub.join(member).await;

    let (old, new) = (Signers::new("old"), Signers::new("new"));
    serve(&hub, &image.reference, &old, &new).await;
    route(&hub, &old, &new).await;
    ingress::start(member, INGRESS, &old.servers.issue(INGRESS)).await;

    eventually("an answer over TLS", || ask(&gateway.address, ENCRYPTED)).await;
    assert_mistrust_is_told(&gateway).await;
    let load = Load::start(&gateway.address, ENCRYPTED);
    change_certificates(&hub, &old, &new).await;
    assert_calls_go_well(&gateway).await;
    assert_the_ingress_streams(&gateway, member).await;
    assert_a_corrected_secret_is_taken(&hub, &gateway, &old).await;
    replace_pods(&hub, member, &env(&new.servers.issue(POD_NAME), &new.clients.pem())).await;
    let (requests, calls) = load.end().await;
    println!("{requests} requests and {calls} calls, and none failed, while Secrets changed and then the pods");
    assert_calls_go_well(&gateway).await;

    drop(gateway);
    assert!(operator.stop().await.success());
    lab.down().await.unwrap();
}

/// Who signs what pods show, and what the gateway does.
struct Signers {
    servers: Authority,
    clients: Authority,
}

impl Signers {
    fn new(name: &str) -> Self {
        let authority = |of: &str| Authority::new(&format!("{name} authority of {of}"));
        Self { servers: authority("servers"), clients: authority("clients") }
    }
}

/// One model whose pods speak TLS, behind a NodePort, and one that only an Ingress leads to.
async fn serve(hub: &Hub, image: &str, old: &Signers, new: &Signers) {
    let mut encrypted = spec(image, 1, "NodePort");
    let shown = old.servers.issue(POD_NAME);
    encrypted["runtime"]["env"] = env(&shown, &(old.clients.pem() + &new.clients.pem()));
    // The kubelet has no certificate to show.
    encrypted["runtime"]["probes"]["readiness"] = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1});
    // Requests come until all nodes know that the pod is to go.
    encrypted["runtime"]["podTemplate"] = json!({"spec": {
        "containers": [{"name": "runtime", "lifecycle": {"preStop": {"sleep": {"seconds": 3}}}}],
    }});
    let mut plain = spec(image, 1, "ClusterIP");
    plain["service"]["externalAddress"] = json!(format!("$(CLUSTER).models.test:{}", ingress::PORT));
    for (name, spec) in [(ENCRYPTED, encrypted), (MODEL, plain)] {
        hub.create("ModelDeployment", name, spec).await;
    }
    for name in [ENCRYPTED, MODEL] {
        hub.wait("ModelDeployment", name, ["Ready", "True", "AsSpecified"]).await;
    }
}

/// What makes a pod speak TLS.
fn env(shown: &Issued, clients: &str) -> Value {
    let variables = [("TLS_CERTIFICATE", &*shown.certificate), ("TLS_KEY", &*shown.key), ("TLS_CLIENT_CA", clients)];
    json!(variables.map(|(name, value)| json!({"name": name, "value": value})))
}

/// Routes by HTTP and gRPC to the pods that speak TLS, one that does not trust them yet, and one to the Ingress.
async fn route(hub: &Hub, old: &Signers, new: &Signers) {
    hub.set_secret("default", "own", old.clients.issue("gateway").secret()).await;
    for (name, authority) in [("pods", &old.servers), ("ingress", &old.servers), ("mistaken", &new.servers)] {
        hub.set_secret("default", name, json!({"ca.crt": authority.pem()})).await;
    }
    let tls = |authorities: &str| {
        let (ca, own) = (json!({"name": authorities}), json!({"name": "own"}));
        json!({"caSecretRef": ca, "clientCertificateSecretRef": own, "serverName": POD_NAME})
    };
    let backend = |name: &str| json!([{"modelDeploymentRef": {"name": name}}]);
    let encrypted = json!({"models": [ENCRYPTED], "backends": backend(ENCRYPTED), "tls": tls("pods")});
    let mistrusting = json!({"models": [MISTRUSTING], "backends": backend(ENCRYPTED), "tls": tls("mistaken")});
    let calls = json!({
        "pathPrefixes": [SERVICE], "backends": backend(ENCRYPTED), "tls": tls("pods"),
        "protocol": "GRPC", "healthCheck": {"intervalSeconds": 2},
    });
    let through = json!({"models": [MODEL], "backends": backend(MODEL), "tls": {"caSecretRef": {"name": "ingress"}}});
    for (name, spec) in [(ENCRYPTED, encrypted), (MISTRUSTING, mistrusting), ("calls", calls), (MODEL, through)] {
        hub.create("ModelRoute", name, spec).await;
        hub.wait("ModelRoute", name, ["Ready", "True", "AsSpecified"]).await;
    }
}

/// Of a replica whose certificate nobody trusted has signed, the client is told so.
async fn assert_mistrust_is_told(gateway: &Gateway) {
    let said = ask(&gateway.address, MISTRUSTING).await.unwrap_err();
    let is_clear =
        said.contains(" 502 ") && said.contains("an authority that is not trusted: see spec.tls.caSecretRef");
    assert!(is_clear, "{said}");
}

/// One message for one, and several; and the replica is asked whether it is well as servers of gRPC are.
async fn assert_calls_go_well(gateway: &Gateway) {
    let mut calls = Calls::connect(&gateway.address).await;
    assert_eq!(calls.call("ModelInfer", "one").await.unwrap(), ["one"]);
    assert_eq!(calls.call("ModelStreamInfer", "many").await.unwrap(), ["many"; 5]);
    eventually("health checks", || async {
        let metrics = get(&gateway.admin, "/metrics").await?;
        let passed = passed_checks(&metrics).unwrap_or_default();
        if passed > 0 { Ok(()) } else { Err(metrics) }
    })
    .await;
}

/// How many the route of calls has had.
fn passed_checks(metrics: &str) -> Option<u64> {
    let of_calls = |line: &&str| line.contains("health_checks_total{") && line.contains(r#"route="default/calls""#);
    let passed = metrics.lines().filter(of_calls).find(|line| line.contains(r#"outcome="passed""#))?;
    passed.rsplit(' ').next()?.parse().ok()
}

/// It is found by its name, with what clients asked for beside; and what pods say comes as they say it.
async fn assert_the_ingress_streams(gateway: &Gateway, member: &Cluster) {
    eventually("an answer through the Ingress", || ask(&gateway.address, MODEL)).await;
    let expected = format!("200 {INGRESS}:{} {INGRESS} localhost", ingress::PORT);
    // It writes that down when the answer is out.
    eventually("the Ingress was asked for by its name", || async {
        let seen = ingress::seen(member);
        if seen.contains(&expected) { Ok(()) } else { Err(seen) }
    })
    .await;
    eventually("events one by one", || async {
        let spread = stream(&gateway.address).await?;
        println!("the events of a stream through the Ingress came over {spread:.1?}");
        // Were they held back, all would come at once.
        if spread > Duration::from_millis(300) { Ok(()) } else { Err(format!("all within {spread:?}")) }
    })
    .await;
}

/// Asks for a stream of 6 tokens, a tenth of a second apart. How long after the first event the end came.
async fn stream(address: &str) -> Result<Duration, String> {
    let body = json!({"model": MODEL, "stream": true, "max_tokens": 6, "messages": []}).to_string();
    let head = "POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json";
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let read = async {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(request.as_bytes()).await?;
        let (mut answer, mut first) = (Vec::new(), None);
        while connection.read_buf(&mut answer).await? > 0 {
            first = first.or_else(|| answer.windows(6).any(|part| part == b"data: ").then(Instant::now));
        }
        Ok::<_, std::io::Error>((String::from_utf8_lossy(&answer).into_owned(), first))
    };
    let (answer, first) = timeout(LIMIT, read).await.map_err(|error| error.to_string())?.map_err(|e| e.to_string())?;
    first.filter(|_| answer.contains("data: [DONE]")).map(|first| first.elapsed()).ok_or(answer)
}

/// The route trusts what signs from now on too, and shows what that has signed. Pods still take both.
async fn change_certificates(hub: &Hub, old: &Signers, new: &Signers) {
    let both = old.servers.pem() + &new.servers.pem();
    hub.set_secret("default", "pods", json!({"ca.crt": both})).await;
    hub.set_secret("default", "own", new.clients.issue("gateway").secret()).await;
}

/// With the authority that the pods have, requests are answered. Who has read this has read what changed before, too.
async fn assert_a_corrected_secret_is_taken(hub: &Hub, gateway: &Gateway, old: &Signers) {
    let began = Instant::now();
    hub.set_secret("default", "mistaken", json!({"ca.crt": old.servers.pem()})).await;
    eventually("the corrected Secret", || ask(&gateway.address, MISTRUSTING)).await;
    println!("a corrected Secret was taken after {:.1?}", began.elapsed());
}

/// Has pods show and trust only what is new: who has not read the Secrets cannot speak with them. Waits until no other one is left.
async fn replace_pods(hub: &Hub, member: &Cluster, env: &Value) {
    let pods = Api::<Pod>::default_namespaced(member.client().await.unwrap());
    let selected = ListParams::default().labels(&format!("skyfleet.dev/model-deployment={ENCRYPTED}"));
    let names = async || -> Result<BTreeSet<_>, String> {
        let found = pods.list(&selected).await.map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|pod| pod.name_any()).collect())
    };
    let before = names().await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"runtime": {"env": env}}}));
    hub.api("ModelDeployment").patch(ENCRYPTED, &PatchParams::default(), &patch).await.unwrap();
    eventually("other pods", || async {
        let status = hub.status("ModelDeployment", ENCRYPTED).await;
        let now = names().await?;
        let is_ready = condition(&status, "Ready")["status"] == "True";
        if is_ready && now.len() == 1 && now.is_disjoint(&before) { Ok(()) } else { Err(format!("{now:?} {status}")) }
    })
    .await;
}
