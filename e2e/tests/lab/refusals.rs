//! What the API server cannot refuse and the operator does: in conditions, with a reason and a message, and without telling
//! anybody what a Secret holds.

use std::path::Path;

use serde_json::{Value, json};
use skyfleet_e2e::ClusterSpec;

use crate::custom_resources::install_definitions;
use crate::hub::{Hub, condition};
use crate::operator_process::{NAMESPACE, OperatorProcess};
use crate::support::{eventually, kubectl, lab};

/// Part of every secret value that this test hands over, so that none can be told without being found.
const SECRET: &str = "kEEp-me-to-yourself";
/// A file that the operator could read.
const FILE: &str = "/etc/hostname";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_and_no_secret_is_told() {
    let lab = lab("refusals", vec![ClusterSpec::control_plane("hub")]).await;
    let cluster = lab.cluster("hub").unwrap();
    install_definitions(&cluster.kubeconfig()).await;
    let operator = OperatorProcess::start(cluster, "one").await;
    let hub = Hub(cluster.client().await.unwrap());

    refused_kubeconfigs(&hub).await;
    refused_clusters(&hub).await;
    refused_buckets(&hub).await;
    refused_datasets_and_models(&hub).await;
    no_secret_is_told(&cluster.kubeconfig(), &operator).await;
}

/// Each kubeconfig has one thing wrong and everything else right.
async fn refused_kubeconfigs(hub: &Hub) {
    let (none, token) = (json!({}), json!({"token": SECRET}));
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "command": "aws", "args": [SECRET], "interactiveMode": "Never",
    });
    let provider = json!({"name": "gcp", "config": {"id-token": SECRET}});
    let in_users = [
        ("exec", json!({"exec": exec}), "exec is refused"),
        ("auth-provider", json!({"auth-provider": provider}), "auth-provider is refused"),
        ("token-file", json!({"tokenFile": FILE}), "tokenFile is refused: it names a file"),
        (
            "key-file",
            json!({"client-key": FILE, "client-certificate-data": "Y2VydA=="}),
            "client-key is refused: it names",
        ),
        (
            "cert-file",
            json!({"client-certificate": FILE, "client-key-data": "a2V5"}),
            "client-certificate is refused: it",
        ),
        ("password", json!({"username": "admin", "password": SECRET}), "username and password is refused"),
        ("act-as", json!({"token": SECRET, "as": "admin"}), "act-as is refused"),
        ("no-credentials", none.clone(), "has no token"),
    ];
    let in_clusters = [
        ("ca-file", json!({"certificate-authority": FILE}), "certificate-authority is refused: it names a file"),
        ("proxy", json!({"proxy-url": format!("http://user:{SECRET}@proxy:3128")}), "proxy-url is refused"),
        ("no-tls-check", json!({"insecure-skip-tls-verify": true}), "insecure-skip-tls-verify is refused"),
        ("plain-http", json!({"server": format!("http://user:{SECRET}@203.0.113.7")}), "only https://"),
        (
            "user-in-server",
            json!({"server": format!("https://user:{SECRET}@203.0.113.7")}),
            "there is a user in its address",
        ),
        ("no-authority", json!({"certificate-authority-data": "bm90IG9uZQ=="}), "has no certificate in it"),
    ];
    let in_users = in_users.into_iter().map(|(name, user, said)| (name, none.clone(), user, said));
    let in_clusters = in_clusters.into_iter().map(|(name, cluster, said)| (name, cluster, token.clone(), said));
    let cases: Vec<_> = in_users.chain(in_clusters).collect();
    for (name, cluster, user, _) in &cases {
        hub.set_kubeconfig(name, &kubeconfig(cluster, user)).await;
        hub.create_cluster(name).await;
    }
    for (name, _, _, said) in &cases {
        stalled(hub, "Cluster", name, "InvalidCredentials", said).await;
    }

    // Text that is no kubeconfig must not be quoted either.
    hub.set_secret(NAMESPACE, "text-kubeconfig", json!({"kubeconfig": format!("token: [{SECRET}")})).await;
    hub.create_cluster("text").await;
    stalled(hub, "Cluster", "text", "InvalidCredentials", "not one kubeconfig").await;
}

async fn refused_clusters(hub: &Hub) {
    hub.create_cluster("no-secret").await;
    let said = r#"there is no Secret "no-secret-kubeconfig" in the operator's namespace "skyfleet-system""#;
    let status = stalled(hub, "Cluster", "no-secret", "ReferenceNotFound", said).await;
    for kind in ["Reachable", "CredentialsValid"] {
        assert_eq!(condition(&status, kind)["status"], "Unknown", "{status}");
    }
    // The Secret that was missing comes, and is looked at without anybody touching the Cluster.
    hub.set_secret(NAMESPACE, "no-secret-kubeconfig", json!({"other": SECRET})).await;
    stalled(hub, "Cluster", "no-secret", "InvalidCredentials", r#"has no key "kubeconfig""#).await;

    hub.set_secret(NAMESPACE, "half-a-certificate", json!({"tls.key": SECRET})).await;
    let connection = json!({"server": "https://203.0.113.7", "credentialsSecretRef": {"name": "half-a-certificate"}});
    let spec = json!({"provider": "aws", "region": "r", "connection": connection});
    hub.create("Cluster", "half-a-certificate", spec).await;
    stalled(hub, "Cluster", "half-a-certificate", "InvalidCredentials", "either `token`, or `tls.crt` and").await;
}

async fn refused_buckets(hub: &Hub) {
    let spec = json!({"provider": "s3", "name": "models", "credentialsSecretRef": {"name": "bucket-key"}});
    hub.create("Bucket", "no-secret", spec.clone()).await;
    stalled(hub, "Bucket", "no-secret", "ReferenceNotFound", r#"there is no Secret "bucket-key""#).await;
    hub.set_secret("default", "bucket-key", json!({"accessKeyId": SECRET})).await;
    stalled(hub, "Bucket", "no-secret", "InvalidCredentials", r#"no key "secretAccessKey""#).await;

    for (provider, key) in [("azureBlob", "accountKey"), ("gcs", "serviceAccountKey")] {
        let name = provider.to_lowercase();
        let account = if provider == "azureBlob" { json!({"account": "acme"}) } else { json!({}) };
        hub.create("Bucket", &name, with(&with(&spec, &account), &json!({"provider": provider}))).await;
        stalled(hub, "Bucket", &name, "InvalidCredentials", &format!("no key {key:?}")).await;
    }
    let identity = json!({"provider": "s3", "name": "models", "workloadIdentity": {}});
    hub.create("Bucket", "identity", identity).await;
    stalled(hub, "Bucket", "identity", "PermissionDenied", "buckets.ownIdentity=true").await;

    // Nobody listens there: it may pass, so it is not stalled, and the key is not told.
    let key = json!({"accessKeyId": SECRET, "secretAccessKey": format!("secret-{SECRET}")});
    hub.set_secret("default", "bucket-key", key).await;
    let away = json!({"endpoint": "http://127.0.0.1:1", "region": "us-east-1"});
    hub.create("Bucket", "away", with(&spec, &away)).await;
    let status = hub.wait("Bucket", "away", ["Ready", "False", "StoreUnreachable"]).await;
    assert_eq!(condition(&status, "Stalled"), &Value::Null, "{status}");
}

async fn refused_datasets_and_models(hub: &Hub) {
    let dataset = json!({"source": {"bucketRef": {"name": "a"}}, "targets": [{"bucketRef": {"name": "b"}}]});
    let cron = json!({"schedule": {"cron": "0 25 * * *"}});
    hub.create("DatasetReplica", "cron", with(&dataset, &cron)).await;
    stalled(hub, "DatasetReplica", "cron", "InvalidSpec", "spec.schedule.cron").await;

    let model = json!({"model": {"name": "m", "image": {}}, "runtime": {"image": "i", "port": 80}});
    let from_bucket = json!({"model": {"name": "m", "bucket": {"name": "b"}}});
    hub.create("ModelDeployment", "from-bucket", with(&model, &from_bucket)).await;
    stalled(hub, "ModelDeployment", "from-bucket", "UnsupportedField", "spec.model.bucket").await;
    let from_nowhere = json!({"model": {"name": "m", "datasetReplica": {"name": "nowhere"}}});
    hub.create("ModelDeployment", "no-dataset", with(&model, &from_nowhere)).await;
    let said = r#"there is no DatasetReplica "nowhere" in this namespace"#;
    stalled(hub, "ModelDeployment", "no-dataset", "ReferenceNotFound", said).await;
}

async fn no_secret_is_told(kubeconfig: &Path, operator: &OperatorProcess) {
    let objects = kubectl(kubeconfig, &["get", "skyfleet", "--all-namespaces", "-o", "yaml"]).await.unwrap();
    // The events are there, so that their silence means something.
    let events = eventually("events of refusals", || async {
        let events = kubectl(kubeconfig, &["get", "events", "--all-namespaces", "-o", "yaml"]).await?;
        if events.contains("InvalidCredentials") { Ok(events) } else { Err("no event yet".to_owned()) }
    })
    .await;
    let metrics = operator.get("/metrics").await.unwrap();
    for (place, text) in
        [("an object", objects), ("an event", events), ("a metric", metrics), ("the log", operator.log())]
    {
        assert!(!text.is_empty());
        for form in [SECRET, BASE64_OF_SECRET] {
            assert!(!text.contains(form), "{place} tells a secret");
        }
    }
}

/// What [`SECRET`] is in every Secret's `data` when it stands at its beginning.
const BASE64_OF_SECRET: &str = "a0VFcC1tZS10by15b3Vyc2Vs";

/// Waits for `Stalled=True` and `Ready=False` with this reason and a message that says so.
async fn stalled(hub: &Hub, kind: &str, name: &str, reason: &str, said: &str) -> Value {
    let status = hub.wait(kind, name, ["Stalled", "True", reason]).await;
    for type_ in ["Stalled", "Ready"] {
        let condition = condition(&status, type_);
        assert_eq!(condition["reason"], reason, "{kind} {name}: {status}");
        let message = condition["message"].as_str().unwrap();
        assert!(message.contains(said), "{kind} {name}: {message}\nexpected: {said}");
    }
    assert_eq!(condition(&status, "Ready")["status"], "False");
    status
}

/// A kubeconfig of one context; `cluster` is laid over an address that nobody answers at.
fn kubeconfig(cluster: &Value, user: &Value) -> Value {
    let cluster = with(&json!({"server": "https://203.0.113.7:6443"}), cluster);
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "k", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    })
}

fn with(spec: &Value, more: &Value) -> Value {
    let mut spec = spec.clone();
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}
