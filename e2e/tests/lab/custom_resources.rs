//! The definitions in `crds/` on a real API server: what it accepts, refuses and fills in, and what kubectl shows.

mod defaults;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use kube::Client;
use kube::api::PostParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;
use skyfleet_e2e::ClusterSpec;

use crate::support::{eventually, kubectl, lab};

#[tokio::test(flavor = "multi_thread")]
async fn the_definitions_hold_on_a_real_api_server() {
    let lab = lab("crds", vec![ClusterSpec::control_plane("hub")]).await;
    let hub = lab.cluster("hub").unwrap();
    let (kubeconfig, client) = (hub.kubeconfig(), hub.client().await.unwrap());
    install_definitions(&kubeconfig).await;

    what_is_written_stays(&kubeconfig, &client).await;
    defaults::are_filled_in_and_nothing_else(&client).await;
    mistakes_are_refused(&kubeconfig, &client).await;
    examples_are_accepted_and_show_no_difference(&kubeconfig).await;
    kubectl_scales(&kubeconfig).await;
    kubectl_shows_and_explains(&kubeconfig).await;
}

/// Applies `crds/` as a person does, and waits until it is served.
pub(crate) async fn install_definitions(kubeconfig: &Path) {
    kubectl(kubeconfig, &["apply", "-f", &path("crds")]).await.unwrap();
    kubectl(kubeconfig, &["wait", "--for=condition=Established", "crd", "--all", "--timeout=120s"]).await.unwrap();
    // kubectl remembers the kinds that there were when it applied the definitions; this has it look again.
    eventually("kubectl knows the kinds", || async {
        let kinds = kubectl(kubeconfig, &["api-resources", "--categories=skyfleet", "--output=name"]).await?;
        if kinds.lines().count() == 5 { Ok(()) } else { Err(kinds) }
    })
    .await;
}

/// Every field is kept as it was written: none is pruned, changed or added to.
async fn what_is_written_stays(kubeconfig: &Path, client: &Client) {
    for file in files("crates/api/tests/full") {
        for manifest in documents(&file) {
            let kept = create(client, &manifest, false).await.unwrap();
            assert_eq!(kept["spec"], manifest["spec"], "{}", file.display());
        }
    }
    kubectl(kubeconfig, &["delete", "skyfleet", "--all"]).await.unwrap();
}

/// What a GitOps tool compares is the same on both sides.
async fn examples_are_accepted_and_show_no_difference(kubeconfig: &Path) {
    let examples = path("examples");
    for how in ["--server-side=false", "--server-side=true"] {
        kubectl(kubeconfig, &["apply", how, "--validate=strict", "-f", &examples]).await.unwrap();
        kubectl(kubeconfig, &["diff", how, "-f", &examples]).await.unwrap();
    }
}

/// Each manifest in `crates/api/tests/bad` is refused with the words of its first line. Of two documents the second is an
/// update of the first.
async fn mistakes_are_refused(kubeconfig: &Path, client: &Client) {
    let mut seen = 0;
    for file in files("crates/api/tests/bad") {
        let expected = expectation(&file);
        let manifests = documents(&file);
        let refusal = match manifests.as_slice() {
            [manifest] => create(client, manifest, true).await,
            [first, second] => {
                let first = create(client, first, false).await.unwrap();
                let refusal = update(client, &first, second).await;
                let file = file.to_str().unwrap();
                kubectl(kubeconfig, &["delete", "--ignore-not-found", "-f", file]).await.unwrap();
                refusal
            }
            other => panic!("{}: {} documents", file.display(), other.len()),
        };
        let message = refusal.expect_err(&format!("{} was accepted", file.display()));
        assert!(message.contains(&expected), "{}: {message}\nexpected: {expected}", file.display());
        seen += 1;
    }
    assert!(seen > 300, "{seen} manifests");

    // By kubectl too, as a person sees it.
    let file = path("crates/api/tests/bad/dataset-typing-mistake.yaml");
    let said = kubectl(kubeconfig, &["apply", "--validate=strict", "-f", &file]).await.unwrap_err();
    assert!(said.contains(r#"unknown field "spec.targets[0].bucket""#), "{said}");
}

async fn kubectl_scales(kubeconfig: &Path) {
    kubectl(kubeconfig, &["scale", "modeldeployment/minilm", "--replicas=3"]).await.unwrap();
    let scale = "/apis/skyfleet.dev/v1alpha1/namespaces/default/modeldeployments/minilm/scale";
    let scale: Value = serde_json::from_str(&kubectl(kubeconfig, &["get", "--raw", scale]).await.unwrap()).unwrap();
    assert_eq!(scale["spec"]["replicas"], 3);
    // What an autoscaler reads comes from the status.
    let status = r#"{"status":{"replicas":2,"selector":"app=minilm"}}"#;
    let patch = ["patch", "skm/minilm", "--subresource=status", "--type=merge", "--patch", status];
    kubectl(kubeconfig, &patch).await.unwrap();
    let columns = "-o=jsonpath={.status.replicas} {.status.selector}";
    let scale = kubectl(kubeconfig, &["get", "skm/minilm", "--subresource=scale", columns]).await.unwrap();
    assert_eq!(scale, "2 app=minilm");
    let refused = kubectl(kubeconfig, &["scale", "skm/minilm", "--replicas=100001"]).await.unwrap_err();
    assert!(refused.contains("100000"), "{refused}");
}

async fn kubectl_shows_and_explains(kubeconfig: &Path) {
    let all = kubectl(kubeconfig, &["get", "skyfleet"]).await.unwrap();
    for name in [
        "bucket.skyfleet.dev/models-aws",
        "cluster.skyfleet.dev/aws-1",
        "datasetreplica",
        "modeldeployment",
        "modelroute",
    ] {
        assert!(all.contains(name), "{all}");
    }
    for (short, columns) in [
        ("skc", ["PROVIDER", "REGION", "REACHABLE", "VERSION"]),
        ("skb", ["PROVIDER", "BUCKET", "NEAR", "READY"]),
        ("skd", ["SOURCE", "OBJECTS", "BYTES", "MESSAGE"]),
        ("skm", ["MODEL", "DESIRED", "CLUSTERS", "STATUS"]),
        ("skr", ["ALGORITHM", "ENDPOINTS", "READY", "AGE"]),
    ] {
        let table = kubectl(kubeconfig, &["get", short]).await.unwrap();
        let (head, rows) = table.split_once('\n').unwrap();
        assert!(columns.iter().all(|column| head.contains(column)), "{head}");
        assert!(!rows.is_empty());
    }
    for (field, said) in [
        ("cluster.spec.connection.kubeconfigSecretRef", "exec"),
        ("bucket.spec.prefix", "relative"),
        ("datasetreplica.spec.deletionPolicy", "left the source"),
        ("modeldeployment.spec.placement.clusterSelector.matchExpressions.operator", "DoesNotExist"),
        ("modelroute.spec.limits.queue", "503"),
    ] {
        let text = kubectl(kubeconfig, &["explain", "--api-version=skyfleet.dev/v1alpha1", field]).await.unwrap();
        assert!(text.contains(said), "{field}: {text}");
    }
}

/// Whoever adds a rule shows that it is enforced.
#[test]
fn every_rule_has_a_manifest_that_breaks_it() {
    let expected: Vec<String> = files("crates/api/tests/bad").iter().map(|file| expectation(file)).collect();
    let mut rules = Vec::new();
    for file in files("crds") {
        messages(&documents(&file)[0], &mut rules);
    }
    rules.sort();
    rules.dedup();
    assert!(rules.len() > 20, "{rules:?}");
    let broken = |rule: &String| expected.iter().any(|expected| rule.contains(expected.as_str()));
    let unbroken: Vec<_> = rules.iter().filter(|rule| !broken(rule)).collect();
    assert!(unbroken.is_empty(), "no manifest in crates/api/tests/bad breaks these: {unbroken:#?}");
}

fn messages(schema: &Value, found: &mut Vec<String>) {
    if let Some(rules) = schema.get("x-kubernetes-validations").and_then(Value::as_array) {
        found.extend(rules.iter().map(|rule| rule["message"].as_str().expect("a rule has a message").to_owned()));
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|value| messages(value, found)),
        Value::Array(items) => items.iter().for_each(|value| messages(value, found)),
        _ => {}
    }
}

/// Creates as `kubectl create --validate=strict` does; the message of a refusal.
async fn create(client: &Client, manifest: &Value, dry_run: bool) -> Result<Value, String> {
    let params = PostParams { dry_run, ..PostParams::default() };
    let body = serde_json::to_vec(manifest).unwrap();
    let mut request = Request::new(collection(manifest)).create(&params, body).unwrap();
    *request.uri_mut() = strict(request.uri()).parse().unwrap();
    client.request(request).await.map_err(refusal)
}

async fn update(client: &Client, before: &Value, manifest: &Value) -> Result<Value, String> {
    let mut manifest = manifest.clone();
    manifest["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
    let (name, body) = (manifest["metadata"]["name"].as_str().unwrap(), serde_json::to_vec(&manifest).unwrap());
    let request = Request::new(collection(&manifest)).replace(name, &PostParams::default(), body);
    client.request(request.unwrap()).await.map_err(refusal)
}

fn strict(uri: &impl Display) -> String {
    format!("{uri}&fieldValidation=Strict")
}

fn refusal(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => panic!("the API server gave no answer: {other}"),
    }
}

fn collection(manifest: &Value) -> String {
    match manifest["kind"].as_str().unwrap() {
        "Cluster" => "/apis/skyfleet.dev/v1alpha1/clusters".to_owned(),
        kind => format!("/apis/skyfleet.dev/v1alpha1/namespaces/default/{}s", kind.to_lowercase()),
    }
}

fn expectation(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let first = text.lines().next().unwrap();
    first.strip_prefix("# expect: ").unwrap_or_else(|| panic!("{}: no expectation", file.display())).to_owned()
}

fn documents(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn path(below_root: &str) -> String {
    format!("{}/../{below_root}", env!("CARGO_MANIFEST_DIR"))
}
