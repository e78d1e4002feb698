//! The charts on a real API server: Pod Security admits the operator, and everybody may do what they must and no more.

use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use skyfleet_e2e::artifacts::helm;
use skyfleet_e2e::{Cluster, ClusterSpec};

use crate::charts::root;
use crate::reports::reporting_gateway;
use crate::support::{eventually, kubectl, lab};

const OPERATOR: &str = "system:serviceaccount:skyfleet-system:skyfleet";
const GATEWAY: &str = "system:serviceaccount:skyfleet-system:skyfleet-gateway";
const HUB: &str = "system:serviceaccount:skyfleet-system:skyfleet-hub";

/// Who, verb, `RESOURCE[.GROUP][/SUBRESOURCE]`, namespace (empty: the whole cluster), allowed or not.
type Right = (&'static str, &'static str, &'static str, &'static str, bool);

const RIGHTS: [Right; 44] = [
    (OPERATOR, "patch", "modeldeployments.skyfleet.dev/status", "team-a", true),
    (OPERATOR, "update", "datasetreplicas.skyfleet.dev/finalizers", "team-a", true),
    (OPERATOR, "watch", "clusters.skyfleet.dev", "", true),
    (OPERATOR, "delete", "modeldeployments.skyfleet.dev", "team-a", false),
    (OPERATOR, "patch", "modelroutes.skyfleet.dev/status", "team-a", true),
    (OPERATOR, "patch", "modelroutes.skyfleet.dev", "team-a", false),
    (OPERATOR, "get", "secrets", "team-a", true),
    (OPERATOR, "update", "secrets", "team-a", false),
    (OPERATOR, "create", "events.events.k8s.io", "team-a", true),
    (OPERATOR, "patch", "leases.coordination.k8s.io", "skyfleet-system", true),
    (OPERATOR, "patch", "leases.coordination.k8s.io", "kube-system", false),
    (OPERATOR, "create", "deployments.apps", "skyfleet-system", false),
    (OPERATOR, "create", "controllerrevisions.apps", "team-a", true),
    (OPERATOR, "delete", "controllerrevisions.apps", "team-a", true),
    (OPERATOR, "get", "pods/proxy", "skyfleet-system", false),
    (OPERATOR, "watch", "configmaps", "skyfleet-system", true),
    (OPERATOR, "delete", "configmaps", "skyfleet-system", true),
    (OPERATOR, "watch", "configmaps", "team-a", false),
    (GATEWAY, "watch", "modelroutes.skyfleet.dev", "", true),
    (GATEWAY, "list", "modeldeployments.skyfleet.dev", "", true),
    (GATEWAY, "patch", "modelroutes.skyfleet.dev/status", "team-a", false),
    (GATEWAY, "get", "secrets", "skyfleet-system", false),
    (GATEWAY, "patch", "configmaps", "skyfleet-system", true),
    (GATEWAY, "get", "configmaps", "skyfleet-system", false),
    (GATEWAY, "patch", "configmaps", "team-a", false),
    (HUB, "create", "namespaces", "", true),
    (HUB, "delete", "namespaces", "", false),
    (HUB, "delete", "deployments.apps", "team-a", true),
    (HUB, "get", "pods/log", "team-a", true),
    (HUB, "list", "pods", "team-a", true),
    (HUB, "get", "pods/proxy", "team-a", true),
    (HUB, "create", "pods/proxy", "team-a", false),
    (HUB, "get", "nodes/proxy", "", false),
    (HUB, "create", "pods/exec", "team-a", false),
    (HUB, "delete", "pods", "team-a", false),
    (HUB, "create", "clusterrolebindings.rbac.authorization.k8s.io", "", false),
    ("editor", "create", "modeldeployments.skyfleet.dev", "team-a", true),
    ("editor", "patch", "modeldeployments.skyfleet.dev/scale", "team-a", true),
    ("editor", "patch", "modeldeployments.skyfleet.dev/status", "team-a", false),
    ("editor", "create", "modelroutes.skyfleet.dev", "team-a", true),
    ("editor", "patch", "modelroutes.skyfleet.dev/status", "team-a", false),
    ("editor", "list", "buckets.skyfleet.dev", "team-a", true),
    ("editor", "create", "modeldeployments.skyfleet.dev", "team-b", false),
    ("editor", "create", "clusters.skyfleet.dev", "", false),
];

/// helm, in the folder of the charts.
pub(crate) async fn helm_on(kubeconfig: &Path, arguments: &[&str]) {
    let binary = tokio::task::spawn_blocking(helm).await.unwrap().unwrap();
    let mut command = tokio::process::Command::new(binary);
    command.current_dir(root().join("charts")).arg("--kubeconfig").arg(kubeconfig).args(arguments);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// All desired pods exist: had admission refused them, the Deployment's conditions would say so.
async fn pods_admitted(client: Client, deployment: &str) -> Result<(), String> {
    let deployments: Api<Deployment> = Api::namespaced(client, "skyfleet-system");
    let status = deployments.get(deployment).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
    if status.replicas == Some(2) { Ok(()) } else { Err(format!("{:?}", status.conditions)) }
}

async fn check_right(client: Client, (who, verb, what, namespace, allowed): Right) -> Result<(), String> {
    let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let text = |value: &str| Some(value.to_owned());
    let attributes = ResourceAttributes {
        group: text(group),
        namespace: text(namespace),
        resource: text(resource),
        subresource: text(subresource),
        verb: text(verb),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        user: text(who),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    let answer = reviews.create(&PostParams::default(), &review).await.map_err(|error| error.to_string())?;
    let status = answer.status.ok_or("no answer")?;
    if status.allowed == allowed { Ok(()) } else { Err(format!("{status:?}")) }
}

/// The gateway's rights are enough to write its report, and to delete it.
async fn report_as_the_gateway(hub: &Cluster) {
    let mut kubeconfig: Value = serde_yaml::from_str(&std::fs::read_to_string(hub.kubeconfig()).unwrap()).unwrap();
    kubeconfig["users"][0]["user"]["as"] = json!(GATEWAY);
    let file = hub.folder().join("gateway.kubeconfig");
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    let mut gateway = reporting_gateway(hub, &file).await;
    let admin = hub.kubeconfig();
    let get = ["get", "configmap", "skyfleet-gateway-one", "--namespace=skyfleet-system", "--output=name"];
    eventually("the gateway's report", || kubectl(&admin, &get)).await;
    gateway.stop().await;
    let gone = kubectl(&admin, &get).await.unwrap_err();
    assert!(gone.contains("not found"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_charts_install_under_restricted_pod_security_with_just_the_rights_needed() {
    let lab = lab("charts", vec![ClusterSpec::control_plane("hub")]).await;
    let hub = lab.cluster("hub").unwrap();
    let kubeconfig = hub.kubeconfig();
    let access = root().join("examples/member-access.yaml");
    kubectl(&kubeconfig, &["apply", "--filename", &access.to_string_lossy()]).await.unwrap();
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&kubeconfig, &["label", "namespace", "skyfleet-system", enforce]).await.unwrap();
    for namespace in ["team-a", "team-b"] {
        kubectl(&kubeconfig, &["create", "namespace", namespace]).await.unwrap();
    }
    let editor = ["create", "rolebinding", "editor", "--clusterrole=edit", "--user=editor", "--namespace=team-a"];
    kubectl(&kubeconfig, &editor).await.unwrap();

    let upgrade = ["upgrade", "--install", "--namespace", "skyfleet-system"];
    helm_on(&kubeconfig, &[&upgrade[..], &["skyfleet-crds", "skyfleet-crds"]].concat()).await;
    helm_on(&kubeconfig, &[&upgrade[..], &["--set", "gateway.enabled=true", "skyfleet", "skyfleet"]].concat()).await;
    let client = hub.client().await.unwrap();
    for deployment in ["skyfleet", "skyfleet-gateway"] {
        eventually(&format!("the pods of {deployment}"), || pods_admitted(client.clone(), deployment)).await;
    }
    for right in RIGHTS {
        // Aggregation into the role edit takes the controller manager a moment.
        eventually(&format!("{right:?}"), || check_right(client.clone(), right)).await;
    }

    // A policy is in force some moments after it was made.
    eventually("gateways write their reports and no other ConfigMap", || async {
        let namespace = "--namespace=skyfleet-system";
        let create = |name| ["create", "configmap", name, namespace, "--as", GATEWAY, "--dry-run=server"];
        kubectl(&kubeconfig, &create("skyfleet-gateway-a")).await?;
        match kubectl(&kubeconfig, &create("another")).await {
            Err(error) if error.contains("may write ConfigMaps only") => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    })
    .await;

    report_as_the_gateway(hub).await;

    eventually("the member's token", || async {
        let token =
            ["get", "secret", "skyfleet-hub-token", "--namespace=skyfleet-system", "--output=jsonpath={.data.token}"];
        kubectl(&kubeconfig, &token).await.and_then(|token| if token.is_empty() { Err(token) } else { Ok(()) })
    })
    .await;

    for release in ["skyfleet", "skyfleet-crds"] {
        helm_on(&kubeconfig, &["uninstall", release, "--namespace", "skyfleet-system"]).await;
    }
    let kept = kubectl(&kubeconfig, &["get", "crd", "--output=name"]).await.unwrap();
    assert_eq!(kept.lines().filter(|name| name.ends_with(".skyfleet.dev")).count(), 5, "{kept}");
}
