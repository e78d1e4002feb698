//! The charts, with the real helm: what they render, what they refuse, and what a real API server makes of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Deserialize;
use serde_json::{Value, json};
use skyfleet_e2e::artifacts::helm;

const OPERATOR: &str = "skyfleet";
const DEFINITIONS: &str = "skyfleet-crds";

/// The root of the work tree.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn helm_command(arguments: &[&str], chart: &str, values: &Value) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    serde_json::to_writer(&file, values).unwrap();
    let mut command = Command::new(helm().unwrap());
    command.args(arguments).arg(root().join("charts").join(chart)).arg("--values").arg(file.path()).output().unwrap()
}

/// The objects that a release called `fleet` in `skyfleet-system` consists of.
fn render(chart: &str, values: &Value) -> Vec<Value> {
    let output = helm_command(&["template", "fleet", "--namespace", "skyfleet-system"], chart, values);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    documents.filter(|document| !document.is_null()).collect()
}

fn refusal(chart: &str, values: &Value) -> String {
    let output = helm_command(&["template", "fleet"], chart, values);
    assert!(!output.status.success(), "{values} was taken");
    String::from_utf8(output.stderr).unwrap()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn operator_container(objects: &[Value]) -> &Value {
    &of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
}

fn environment(container: &Value) -> BTreeMap<&str, &str> {
    let variables = container["env"].as_array().unwrap().iter();
    variables.filter_map(|variable| Some((variable["name"].as_str()?, variable["value"].as_str()?))).collect()
}

#[test]
fn both_charts_pass_the_strict_linter() {
    for chart in [OPERATOR, DEFINITIONS] {
        let output = helm_command(&["lint", "--strict"], chart, &json!({}));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

fn definitions(folder: &str) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let yaml = files.filter(|path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml"));
    yaml.map(|path| (path.file_name().unwrap().to_string_lossy().into(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn the_charts_definitions_are_the_generated_ones() {
    let generated = definitions("crds");
    assert!(!generated.is_empty());
    assert!(
        generated == definitions("charts/skyfleet-crds/definitions"),
        "charts/skyfleet-crds/definitions differs from crds: copy the files again"
    );
    let rendered = render(DEFINITIONS, &json!({}));
    assert_eq!(rendered.len(), generated.len());
    for (expected, rendered) in generated.values().zip(rendered) {
        // Typed, because helm writes 0.0 as 0.
        let expected: CustomResourceDefinition = serde_yaml::from_str(expected).unwrap();
        let rendered: CustomResourceDefinition = serde_json::from_value(rendered).unwrap();
        assert_eq!(rendered.metadata.name, expected.metadata.name);
        assert!(rendered.spec == expected.spec, "{:?} changed on its way through helm", expected.metadata.name);
    }
}

#[test]
fn definitions_outlive_the_release_unless_told_otherwise() {
    let policy = |values| render(DEFINITIONS, &values)[0]["metadata"]["annotations"]["helm.sh/resource-policy"].clone();
    assert_eq!(policy(json!({})), "keep");
    assert_eq!(policy(json!({ "keep": false })), Value::Null);
    let annotated = render(DEFINITIONS, &json!({ "annotations": { "a": "b" } }));
    assert_eq!(annotated[0]["metadata"]["annotations"], json!({ "a": "b", "helm.sh/resource-policy": "keep" }));
}

#[test]
fn the_operator_knows_its_own_image() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    for (image, expected) in [
        (json!({}), concat!("ghcr.io/skyfleet/skyfleet:", env!("CARGO_PKG_VERSION")).to_owned()),
        (json!({ "repository": "example.org/s", "tag": "1.2.3-x" }), "example.org/s:1.2.3-x".to_owned()),
        (json!({ "tag": "1", "digest": digest }), format!("ghcr.io/skyfleet/skyfleet@{digest}")),
    ] {
        let objects = render(OPERATOR, &json!({ "image": image }));
        let container = operator_container(&objects);
        assert_eq!(container["image"], expected);
        assert_eq!(environment(container)["SKYFLEET_IMAGE"], expected);
    }
    let objects = render(OPERATOR, &json!({ "image": { "pullPolicy": "Never" } }));
    let container = operator_container(&objects);
    assert_eq!(container["imagePullPolicy"], "Never");
    assert_eq!(environment(container)["SKYFLEET_IMAGE_PULL_POLICY"], "Never");
}

/// Where rules on Secrets are: the name of the role, and its namespace if it has one.
fn secret_readers(objects: &[Value]) -> Vec<(String, Option<String>)> {
    let roles = objects.iter().filter(|object| object["kind"] == "ClusterRole" || object["kind"] == "Role");
    let readers = roles.filter(|role| {
        let mut resources =
            role["rules"].as_array().unwrap().iter().flat_map(|rule| rule["resources"].as_array().unwrap());
        resources.any(|resource| resource == "secrets")
    });
    let text = |value: &Value| value.as_str().map(str::to_owned);
    readers.map(|role| (text(&role["metadata"]["name"]).unwrap(), text(&role["metadata"]["namespace"]))).collect()
}

#[test]
fn secrets_are_read_everywhere_or_only_where_named() {
    assert_eq!(secret_readers(&render(OPERATOR, &json!({}))), [("fleet-skyfleet-operator".to_owned(), None)]);
    let narrowed = render(OPERATOR, &json!({ "rbac": { "secretNamespaces": ["team-a", "skyfleet-system"] } }));
    let role = |namespace: &str| ("fleet-skyfleet-secrets".to_owned(), Some(namespace.to_owned()));
    let mut readers = secret_readers(&narrowed);
    readers.sort();
    assert_eq!(readers, [role("skyfleet-system"), role("team-a")]);
}

#[test]
fn tokens_of_service_accounts_and_the_operator_s_own_identity_are_off_until_asked_for() {
    let givers = |values: &Value| -> Vec<Option<String>> {
        let objects = render(OPERATOR, values);
        let roles = ["ClusterRole", "Role"].into_iter().flat_map(|kind| of_kind(&objects, kind));
        let gives = |role: &&Value| role["rules"].to_string().contains("serviceaccounts/token");
        let namespace = |role: &Value| role["metadata"]["namespace"].as_str().map(str::to_owned);
        roles.filter(gives).map(namespace).collect()
    };
    let tokens = |values: Value| json!({ "rbac": { "serviceAccountTokens": values } });
    assert!(givers(&json!({})).is_empty());
    assert_eq!(givers(&tokens(json!({ "enabled": true }))), [None]);
    assert!(givers(&tokens(json!({ "namespaces": ["team-a"] }))).is_empty());
    let narrowed = tokens(json!({ "enabled": true, "namespaces": ["team-a"] }));
    assert_eq!(givers(&narrowed), [Some("team-a".to_owned())]);
    for own in [false, true] {
        let objects = render(OPERATOR, &json!({ "buckets": { "ownIdentity": own } }));
        let container = operator_container(&objects);
        assert_eq!(container["args"].as_array().unwrap().iter().any(|word| word == "--own-identity"), own);
    }
}

#[test]
fn lineage_is_sent_only_where_somebody_collects_it() {
    let variables = |values: Value| -> BTreeMap<String, Value> {
        let objects = render(OPERATOR, &json!({ "openLineage": values }));
        let all = operator_container(&objects)["env"].as_array().unwrap().clone();
        let named = all.into_iter().map(|variable| (variable["name"].as_str().unwrap().to_owned(), variable));
        named.filter(|(name, _)| name.starts_with("OPENLINEAGE_")).collect()
    };
    let key = json!({ "name": "collector", "key": "token" });
    assert!(variables(json!({})).is_empty() && variables(json!({ "apiKeySecretRef": key })).is_empty());
    let open = variables(json!({ "url": "http://marquez:5000" }));
    assert_eq!((open.len(), &open["OPENLINEAGE_URL"]["value"]), (1, &json!("http://marquez:5000")));
    let keyed = variables(json!({ "url": "https://collector", "apiKeySecretRef": key }));
    assert_eq!(keyed["OPENLINEAGE_API_KEY"]["valueFrom"], json!({ "secretKeyRef": key }));
    let by_default = variables(json!({ "url": "https://collector", "apiKeySecretRef": { "name": "collector" } }));
    assert_eq!(by_default["OPENLINEAGE_API_KEY"]["valueFrom"]["secretKeyRef"]["key"], "apiKey");
}

#[test]
fn notifications_are_taken_only_where_that_is_asked_for() {
    let ports = |values: Value, kind: &str| -> Vec<Value> {
        let objects = render(OPERATOR, &values);
        let of_kind = objects.iter().filter(|object| object["kind"] == kind);
        let ports = of_kind.flat_map(|object| match kind {
            "Service" => object["spec"]["ports"].as_array().unwrap().clone(),
            _ => object["spec"]["ingress"].as_array().unwrap().iter().map(|rule| rule["ports"][0].clone()).collect(),
        });
        ports.map(|port| port.get("targetPort").or(port.get("port")).unwrap().clone()).collect()
    };
    let values =
        |enabled: bool| json!({ "notifications": { "enabled": enabled }, "networkPolicy": { "enabled": true } });
    for kind in ["Service", "NetworkPolicy"] {
        assert_eq!(ports(values(false), kind), ["http"], "{kind}");
        assert_eq!(ports(values(true), kind), ["http", "notifications"], "{kind}");
    }
    let flags = |enabled: bool| operator_container(&render(OPERATOR, &values(enabled)))["args"].to_string();
    assert!(flags(true).contains("--notifications-listen=0.0.0.0:8081") && !flags(false).contains("notifications"));
}

#[test]
fn gateways_are_there_only_when_asked_for_and_read_only_what_they_go_by() {
    let gateway = |values: &Value| -> Vec<Value> {
        let objects = render(OPERATOR, values);
        let is_gateway = |object: &Value| object["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway";
        objects.into_iter().filter(is_gateway).collect()
    };
    let policies = json!({ "enabled": true });
    assert_eq!(gateway(&json!({ "networkPolicy": policies })), Vec::<Value>::new());
    let objects = gateway(&json!({
        "networkPolicy": policies,
        "gateway": { "enabled": true, "cluster": "hub", "accessLog": true, "stopDelaySeconds": 7, "drainSeconds": 60 },
    }));
    let mut kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    let expected = [
        &[
            "ClusterRole",
            "ClusterRoleBinding",
            "Deployment",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Role",
            "RoleBinding",
        ][..],
        &["Service", "ServiceAccount", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"],
    ];
    assert_eq!(kinds, expected.concat());
    assert!(objects.iter().all(|object| object["metadata"]["name"] == "fleet-skyfleet-gateway"));

    let rules = &of_kind(&objects, "ClusterRole")[0]["rules"];
    let verbs = ["get", "list", "watch"];
    let of_hub = json!({ "apiGroups": ["skyfleet.dev"], "resources": ["clusters", "modeldeployments", "modelroutes"], "verbs": verbs });
    let of_own = json!({ "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs });
    assert_eq!(*rules, json!([of_hub, of_own]));
    let pod = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 7 + 60 + 10);
    let flags = pod["containers"][0]["args"].to_string();
    for flag in
        ["--stop-delay=7", "--drain=60", "--cluster=hub", "--access-log=-", "--report-namespace=skyfleet-system"]
    {
        assert!(flags.contains(flag), "{flags}");
    }
    let by_default = gateway(&json!({ "gateway": { "enabled": true } }));
    let flags = by_default.iter().find(|object| object["kind"] == "Deployment").unwrap().to_string();
    assert!(!flags.contains("--cluster") && !flags.contains("--access-log"));

    let secrets = |object: &&Value| object.to_string().contains("secrets");
    assert!(!by_default.iter().any(|object| secrets(&object)) && !flags.contains("--tls") && !flags.contains("volume"));
    let in_member = gateway(&json!({ "replicas": 0, "gateway": {
        "enabled": true, "cluster": "aws-1", "hubKubeconfigSecretRef": { "name": "hub" }, "apiServersSecretName": "others",
        "tls": { "secretName": "front" },
    } }));
    assert_eq!(of_kind(&in_member, "ClusterRole")[0]["rules"], json!([of_own]));
    let pod = &of_kind(&in_member, "Deployment")[0]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for list in [&pod["volumes"], &container["volumeMounts"]] {
        let names: Vec<_> = list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["hub", "api-servers", "tls"], "{pod}");
    }
    assert_eq!(container["env"][1], json!({ "name": "KUBECONFIG", "value": "/etc/skyfleet/hub/kubeconfig" }));
    assert!(container["args"].to_string().contains("--api-servers=/etc/skyfleet/api-servers"), "{container}");
    assert!(in_member.iter().all(|object| object["kind"] != "Role"), "its rights are on the hub");

    let outside = gateway(&json!({ "gateway": { "enabled": true, "network": "Vpc_1" } }));
    assert!(of_kind(&outside, "Deployment")[0].to_string().contains("--network=Vpc_1"));

    // One that tells the hub nothing writes nothing.
    let silent = gateway(&json!({ "gateway": { "enabled": true, "reports": false } }));
    assert!(silent.iter().all(|object| object["kind"] != "Role" && object["kind"] != "ValidatingAdmissionPolicy"));
    assert!(!of_kind(&silent, "Deployment")[0].to_string().contains("--report-namespace"));

    // The Service leads to gateways and not to operators, and not to the admin port.
    let service = &of_kind(&objects, "Service")[0]["spec"];
    assert_eq!(service["selector"]["app.kubernetes.io/component"], "gateway");
    assert_eq!(service["ports"], json!([{ "name": "http", "port": 80, "targetPort": "http" }]));
}

#[test]
fn gateways_speak_tls_and_read_secrets_only_where_they_are_told_to() {
    let objects = render(
        OPERATOR,
        &json!({ "gateway": {
            "enabled": true,
            "tls": { "secretName": "front", "clientCertificates": true },
            "upstreamTls": { "enabled": true, "namespaces": ["team-a"] },
        } }),
    );
    let gateway = |kind: &str| -> Vec<&Value> {
        let named = |object: &&Value| object["metadata"]["name"] == "fleet-skyfleet-gateway" && object["kind"] == kind;
        objects.iter().filter(named).collect()
    };
    let pod = &gateway("Deployment")[0]["spec"]["template"]["spec"];
    let flags = pod["containers"][0]["args"].to_string();
    for (flag, file) in [("certificate", "tls.crt"), ("key", "tls.key"), ("client-ca", "ca.crt")] {
        assert!(flags.contains(&format!("--tls-{flag}=/etc/skyfleet/tls/{file}")), "{flags}");
    }
    assert_eq!(pod["containers"][0]["volumeMounts"][0]["mountPath"], "/etc/skyfleet/tls");
    assert_eq!(pod["volumes"], json!([{ "name": "tls", "secret": { "secretName": "front" } }]));
    let role = gateway("Role")[0];
    assert_eq!(role["metadata"]["namespace"], "team-a");
    assert_eq!(role["rules"], json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] }]));
    let subject = &gateway("RoleBinding")[0]["subjects"][0];
    assert_eq!((&subject["kind"], &subject["name"]), (&json!("ServiceAccount"), &json!("fleet-skyfleet-gateway")));
    assert!(!gateway("ClusterRole")[0].to_string().contains("secrets"));
}

#[test]
fn optional_objects_are_there_only_when_asked_for() {
    let kinds = |values: Value| -> Vec<String> {
        render(OPERATOR, &values).iter().map(|object| object["kind"].as_str().unwrap().to_owned()).collect()
    };
    let has = |values: Value, kind: &str| kinds(values).iter().any(|found| found == kind);
    for (kind, by_default, other) in [
        ("ServiceMonitor", false, json!({ "metrics": { "serviceMonitor": { "enabled": true } } })),
        ("NetworkPolicy", false, json!({ "networkPolicy": { "enabled": true } })),
        ("PodDisruptionBudget", true, json!({ "podDisruptionBudget": { "enabled": false } })),
        ("Service", true, json!({ "metrics": { "service": { "enabled": false } } })),
        ("ServiceAccount", true, json!({ "serviceAccount": { "create": false } })),
        ("ClusterRole", true, json!({ "rbac": { "create": false } })),
    ] {
        assert_eq!(has(json!({}), kind), by_default, "{kind}");
        assert_eq!(has(other, kind), !by_default, "{kind}");
    }
}

#[test]
fn bad_values_are_refused_with_their_place() {
    for (values, expected) in [
        (json!({ "replica": 3 }), "additional properties 'replica' not allowed"),
        (json!({ "replicas": "two" }), "at '/replicas': got string, want integer"),
        (json!({ "replicas": -1 }), "at '/replicas': minimum: got -1, want 0"),
        (json!({ "image": { "pullPolicy": "Sometimes" } }), "at '/image/pullPolicy': value must be one of"),
        (json!({ "image": { "tag": "a b" } }), "at '/image/tag': 'a b' does not match pattern"),
        (json!({ "image": { "digest": "sha256:abc" } }), "at '/image/digest': 'sha256:abc' does not match pattern"),
        (json!({ "log": { "format": "yaml" } }), "at '/log/format': value must be one of 'json', 'text'"),
        (json!({ "openLineage": { "url": "marquez:5000" } }), "at '/openLineage/url': 'marquez:5000' does not match"),
        (json!({ "env": [{ "value": "x" }] }), "at '/env/0': missing property 'name'"),
        (json!({ "rbac": { "secretNamespaces": ["Team_A"] } }), "at '/rbac/secretNamespaces/0': 'Team_A' does not"),
        (json!({ "resources": { "limits": { "memory": "much" } } }), "at '/resources/limits/memory'"),
        (json!({ "gateway": { "service": { "type": "None" } } }), "at '/gateway/service/type': value must be one of"),
        (
            json!({ "gateway": { "enabled": true, "tls": { "clientCertificates": true } } }),
            "gateway.tls.clientCertificates needs gateway.tls.secretName",
        ),
        (
            json!({ "gateway": { "enabled": true, "upstreamTls": { "enabled": true } } }),
            "gateway.upstreamTls.enabled needs gateway.upstreamTls.namespaces",
        ),
        (
            json!({ "gateway": { "enabled": true, "cluster": "hub", "network": "vpc" } }),
            "gateway.network is for gateways that run in no Cluster",
        ),
        (json!({ "gateway": { "drainSeconds": 0 } }), "at '/gateway/drainSeconds': minimum: got 0, want 1"),
        (json!({ "gateway": { "resources": { "limits": { "cpu": "x" } } } }), "at '/gateway/resources/limits/cpu'"),
        (json!({ "podLabels": { "a": 1 } }), "at '/podLabels/a': got number, want string"),
        (json!({ "metrics": { "service": { "port": 0 } } }), "at '/metrics/service/port': minimum: got 0, want 1"),
        (
            json!({ "metrics": { "service": { "enabled": false }, "serviceMonitor": { "enabled": true } } }),
            "metrics.serviceMonitor.enabled needs metrics.service.enabled",
        ),
    ] {
        let message = refusal(OPERATOR, &values);
        assert!(message.contains(expected), "{values}: {message}");
    }
    let message = refusal(DEFINITIONS, &json!({ "keep": "yes" }));
    assert!(message.contains("at '/keep': got string, want boolean"), "{message}");
}
