//! A member joined with the rights of `examples/member-access.yaml`: its token is rotated, wrong and right again, and the
//! operator is killed and stopped, all without the Cluster being doubted for longer than there is reason to.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use skyfleet_e2e::{Cluster, ClusterSpec, tools};

use crate::charts::root;
use crate::custom_resources::install_definitions;
use crate::hub::{Hub, condition};
use crate::operator_process::{NAMESPACE, OperatorProcess};
use crate::support::{eventually, kubectl, lab};

const MEMBER: &str = "aws-1";

#[tokio::test(flavor = "multi_thread")]
async fn a_member_stays_ready_while_its_token_and_its_operator_change() {
    let lab = lab("tokens", ["hub", MEMBER].map(ClusterSpec::control_plane).to_vec()).await;
    let (hub_cluster, member) = (lab.cluster("hub").unwrap(), lab.cluster(MEMBER).unwrap());
    install_definitions(&hub_cluster.kubeconfig()).await;
    let first = OperatorProcess::start(hub_cluster, "first").await;
    eventually("the first operator leads", || async { first.leads().await.then_some(()).ok_or(()) }).await;
    let second = OperatorProcess::start(hub_cluster, "second").await;
    let hub = Hub(hub_cluster.client().await.unwrap());
    let member_client = member.client().await.unwrap();

    let ready_since = the_member_is_joined(&hub, member, &member_client).await;
    a_rotated_token_is_taken_up(&hub, member, &member_client).await;
    assert_eq!(since(&hub, "Ready").await, ready_since, "the rotation was seen as a failure");

    assert!(first.leads().await && !second.leads().await);
    the_second_takes_over_when_the_first_is_killed(first, &second).await;
    answers(&second).await;
    eventually("the member is probed anew", || reachable_metric(&second)).await;
    assert_eq!(since(&hub, "Ready").await, ready_since, "the new leader doubted a member that never failed");

    a_wrong_token_is_named_and_a_right_one_heals(&hub, member, &member_client).await;
    a_stop_is_clean_and_gives_the_lease_back(&hub, second).await;
}

/// Since when the member has been Ready.
async fn the_member_is_joined(hub: &Hub, member: &Cluster, client: &Client) -> String {
    let manifest = root().join("examples/member-access.yaml");
    kubectl(&member.kubeconfig(), &["apply", "-f", manifest.to_str().unwrap()]).await.unwrap();
    let secret = token(client, "skyfleet-hub-token").await;
    hub.set_kubeconfig(MEMBER, &kubeconfig(member, &secret)).await;
    hub.create_cluster(MEMBER).await;
    let status = hub.wait("Cluster", MEMBER, ["Ready", "True", "AsSpecified"]).await;
    for (type_, reason) in [("Reachable", "Answering"), ("CredentialsValid", "AsSpecified")] {
        assert_eq!(condition(&status, type_)["status"], "True", "{status}");
        assert_eq!(condition(&status, type_)["reason"], reason, "{status}");
    }
    assert_eq!(status["version"], tools::KUBERNETES_VERSION);
    since(hub, "Ready").await
}

/// The order an administrator keeps: a new token, the hub's Secret, and then the old token goes.
async fn a_rotated_token_is_taken_up(hub: &Hub, member: &Cluster, client: &Client) {
    let old = token(client, "skyfleet-hub-token").await;
    make_token(client, "skyfleet-hub-token-2").await;
    let new = token(client, "skyfleet-hub-token-2").await;
    hub.set_kubeconfig(MEMBER, &kubeconfig(member, &new)).await;
    delete_token(client, "skyfleet-hub-token").await;
    eventually("the old token is refused", || async { refused(member, &old).await.then_some(()).ok_or(()) }).await;

    // Only a request with the new token can see this node.
    make_ready_node(client).await;
    eventually("the new node is counted", || async {
        let status = hub.status("Cluster", MEMBER).await;
        (status["nodes"] == 1).then_some(()).ok_or(status)
    })
    .await;
}

async fn a_wrong_token_is_named_and_a_right_one_heals(hub: &Hub, member: &Cluster, client: &Client) {
    let right = token(client, "skyfleet-hub-token-2").await;
    let mut wrong = right.clone();
    wrong["token"] = json!("not-the-members");
    hub.set_kubeconfig(MEMBER, &kubeconfig(member, &wrong)).await;
    let status = hub.wait("Cluster", MEMBER, ["CredentialsValid", "False", "CredentialsRefused"]).await;
    assert_eq!(condition(&status, "Reachable")["status"], "True", "{status}");
    assert_eq!(condition(&status, "Stalled")["status"], "True", "{status}");
    let message = condition(&status, "Ready")["message"].as_str().unwrap();
    assert!(message.contains("renew the Secret") && !message.contains("not-the-members"), "{message}");
    hub.set_kubeconfig(MEMBER, &kubeconfig(member, &right)).await;
    let status = hub.wait("Cluster", MEMBER, ["Ready", "True", "AsSpecified"]).await;
    assert_eq!(condition(&status, "Stalled"), &Value::Null, "{status}");
}

async fn the_second_takes_over_when_the_first_is_killed(first: OperatorProcess, second: &OperatorProcess) {
    first.kill().await;
    // The lease ends after 8 s, so 30 s are enough for a machine with nothing else to do; twice that for one that has.
    let takes_over = eventually("the second leads", || async { second.leads().await.then_some(()).ok_or(()) });
    tokio::time::timeout(Duration::from_mins(1), takes_over).await.expect("the second operator leads in time");
}

async fn answers(operator: &OperatorProcess) {
    for path in ["/healthz", "/readyz"] {
        assert_eq!(operator.get(path).await.unwrap(), "ok\n");
    }
    assert!(operator.get("/metrics").await.unwrap().ends_with("# EOF\n"));
    assert!(operator.get("/secrets").await.is_err());
}

async fn reachable_metric(operator: &OperatorProcess) -> Result<(), String> {
    let metrics = operator.get("/metrics").await?;
    let line = format!(r#"skyfleet_member_reachable{{member_cluster="{MEMBER}"}} 1"#);
    if metrics.lines().any(|found| found == line) { Ok(()) } else { Err(metrics) }
}

async fn a_stop_is_clean_and_gives_the_lease_back(hub: &Hub, operator: OperatorProcess) {
    let status = operator.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
    let lease = Api::<Lease>::namespaced(hub.0.clone(), NAMESPACE).get("skyfleet-operator").await.unwrap();
    let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
    assert_eq!(holder, "", "the lease is still held");
}

async fn since(hub: &Hub, type_: &str) -> String {
    let status = hub.status("Cluster", MEMBER).await;
    let condition = condition(&status, type_);
    assert_eq!(condition["status"], "True", "{status}");
    condition["lastTransitionTime"].as_str().unwrap().to_owned()
}

/// `token` and `ca.crt` of a token Secret, once the controller manager has filled it.
async fn token(member: &Client, name: &str) -> Value {
    let secrets = Api::<Secret>::namespaced(member.clone(), NAMESPACE);
    eventually("a token", || async {
        let data = secrets.get(name).await.map_err(|error| error.to_string())?.data.unwrap_or_default();
        let text = |key: &str| data.get(key).map(|value| String::from_utf8(value.0.clone()).unwrap());
        let token = text("token").ok_or("no token yet")?;
        Ok::<_, String>(json!({"token": token, "ca": data.get("ca.crt").ok_or("no ca.crt yet")?}))
    })
    .await
}

async fn make_token(member: &Client, name: &str) {
    let secret = serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": "skyfleet-hub"}},
        "type": "kubernetes.io/service-account-token",
    }));
    let secrets = Api::<Secret>::namespaced(member.clone(), NAMESPACE);
    secrets.create(&PostParams::default(), &secret.unwrap()).await.unwrap();
}

async fn delete_token(member: &Client, name: &str) {
    let secrets = Api::<Secret>::namespaced(member.clone(), NAMESPACE);
    secrets.delete(name, &DeleteParams::default()).await.unwrap();
}

fn kubeconfig(member: &Cluster, secret: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": member.server(), "certificate-authority-data": secret["ca"]}}],
        "users": [{"name": "u", "user": {"token": secret["token"]}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    })
}

/// Whether the member's API server refuses the token; it takes one that it has just taken for some seconds more.
async fn refused(member: &Cluster, secret: &Value) -> bool {
    let config = serde_json::from_value(kubeconfig(member, secret)).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await;
    let client = Client::try_from(config.unwrap()).unwrap();
    let answer = Api::<Node>::all(client).list(&kube::api::ListParams::default()).await;
    matches!(answer, Err(kube::Error::Api(status)) if status.code == 401)
}

/// A node that nothing stands behind: there is no kubelet in these clusters.
async fn make_ready_node(member: &Client) {
    let nodes = Api::<Node>::all(member.clone());
    let node = serde_json::from_value(json!({"metadata": {"name": "hollow"}})).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let ready = json!({"type": "Ready", "status": "True", "reason": "Test", "message": ""});
    let patch = Patch::Merge(json!({"status": {"conditions": [ready]}}));
    nodes.patch_status("hollow", &PatchParams::default(), &patch).await.unwrap();
}
