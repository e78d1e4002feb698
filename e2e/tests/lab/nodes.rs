//! Clusters with nodes: real pods, Services and images.

use std::path::PathBuf;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use skyfleet_e2e::image::{ImageFile, ImageSpec, write_archive};
use skyfleet_e2e::{Cluster, ClusterSpec, Lab};

use crate::leftovers::Footprint;
use crate::support::{binaries, eventually, get, kubectl, lab};

pub(crate) const IMAGE: &str = "skyfleet.dev/test-web:1";

/// A small web server: `kubectl proxy` serves files, and passes the rest on to an API server.
pub(crate) async fn web_image(folder: &std::path::Path) -> PathBuf {
    let archive = folder.join("web.tar");
    let files = vec![
        ImageFile::from_host(binaries().await.join("kube"), "/kubectl", 0o755),
        ImageFile::from_bytes("hello from a pod", "/www/hello", 0o644),
    ];
    let entrypoint = ["/kubectl", "proxy", "--address=0.0.0.0", "--accept-hosts=.*", "--www=/www"];
    let entrypoint = entrypoint.map(str::to_owned).to_vec();
    let image =
        ImageSpec { name: IMAGE.into(), files, entrypoint, user: Some("65532:65532".into()), ..ImageSpec::default() };
    write_archive(&image, &archive).unwrap();
    archive
}

/// Runs the web server behind a NodePort and returns the address to reach it by from the machine.
async fn serve(cluster: &Cluster, name: &str, replicas: i32, arguments: &[String]) -> String {
    let client = cluster.client().await.unwrap();
    let container = json!({
        "name": "web", "image": IMAGE, "args": arguments, "ports": [{ "containerPort": 8001 }],
        "readinessProbe": { "httpGet": { "path": "/static/hello", "port": 8001 }, "periodSeconds": 1 },
        "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } },
        "resources": { "limits": { "memory": "256Mi" } },
    });
    let security = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 1 },
            },
        },
    }))
    .unwrap();
    let service: Service = serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": { "type": "NodePort", "selector": { "app": name }, "ports": [{ "port": 80, "targetPort": 8001 }] },
    }))
    .unwrap();
    Api::default_namespaced(client.clone()).create(&PostParams::default(), &deployment).await.unwrap();
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let service = services.create(&PostParams::default(), &service).await.unwrap();
    let port = service.spec.unwrap().ports.unwrap()[0].node_port.unwrap();
    wait_until_ready(&client, name, replicas).await;
    format!("{}:{port}", cluster.address())
}

async fn wait_until_ready(client: &Client, name: &str, replicas: i32) {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let attempt = || async {
        let status = deployments.get(name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        if status.ready_replicas == Some(replicas) { Ok(()) } else { Err(format!("{status:?}")) }
    };
    eventually("the pods", attempt).await;
}

async fn restarts(client: &Client) -> i32 {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pods = pods.list(&ListParams::default()).await.unwrap();
    let statuses = pods.items.into_iter().filter_map(|pod| pod.status?.container_statuses).flatten();
    statuses.map(|status| status.restart_count).sum()
}

async fn assert_serves(address: &str) {
    let body = eventually("the NodePort", || get(address, "/static/hello")).await;
    assert_eq!(body, "hello from a pod");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_run_serve_reach_other_clusters_and_come_back() {
    let lab = lab("nodes", ["hub", "aws-1"].map(ClusterSpec::with_pods).to_vec()).await;
    let folder = tempfile::tempdir().unwrap();
    let archive = web_image(folder.path()).await;
    for cluster in lab.clusters() {
        lab.load_image(cluster.name(), &archive).await.unwrap();
    }
    let (hub, aws) = (lab.cluster("hub").unwrap(), lab.cluster("aws-1").unwrap());

    // The machine reaches pods by NodePort; a pod reaches its own API server by its Service's address.
    let own = serve(aws, "web", 2, &[]).await;
    assert_serves(&own).await;
    assert!(eventually("the pod's API server", || get(&own, "/version")).await.contains("v1.34"));

    // A pod of the hub reaches a member's API server, and a member's NodePort.
    let token = kubectl(&aws.kubeconfig(), &["create", "token", "default"]).await.unwrap();
    let upstream = |server: &str| {
        [format!("--server={server}"), format!("--token={}", token.trim()), "--insecure-skip-tls-verify=true".into()]
    };
    let member = serve(hub, "member", 1, &upstream(&aws.server())).await;
    assert!(eventually("the member's API server", || get(&member, "/version")).await.contains("v1.34"));
    let nodeport = serve(hub, "nodeport", 1, &upstream(&format!("http://{own}"))).await;
    assert!(eventually("the member's NodePort", || get(&nodeport, "/version")).await.contains("v1.34"));

    // Logs and exec go through the API server to the kubelet.
    let kubeconfig = aws.kubeconfig();
    let logs = eventually("the logs", || kubectl(&kubeconfig, &["logs", "deploy/web"])).await;
    assert!(logs.contains("Starting to serve"), "{logs}");
    let exec = ["exec", "deploy/web", "--", "/kubectl", "version", "--client"];
    assert!(eventually("exec", || kubectl(&kubeconfig, &exec)).await.contains("v1.34"));

    control_plane_outage(&lab, aws, &own).await;
    power_cut(&lab, aws, &own).await;

    let footprint = Footprint::of(&lab);
    footprint.assert_control_planes(2);
    footprint.assert_nodes(2);
    footprint.assert_pods(4);
    lab.down().await.unwrap();
    footprint.assert_gone();
}

/// Without its control plane a cluster goes on serving, and no pod is restarted when it returns.
async fn control_plane_outage(lab: &Lab, cluster: &Cluster, address: &str) {
    let before = restarts(&cluster.client().await.unwrap()).await;
    lab.stop_control_plane(cluster.name()).await.unwrap();
    assert!(get(address, "/version").await.is_err());
    assert_serves(address).await;
    lab.start_control_plane(cluster.name()).await.unwrap();
    let client = cluster.client().await.unwrap();
    wait_until_ready(&client, "web", 2).await;
    assert_eq!(restarts(&client).await, before);
    assert!(eventually("the API server's return", || get(address, "/version")).await.contains("v1.34"));
}

/// A power cut takes the pods too; they come back from what the cluster has on disk.
async fn power_cut(lab: &Lab, cluster: &Cluster, address: &str) {
    lab.stop(cluster.name()).await.unwrap();
    assert!(get(address, "/static/hello").await.is_err());
    lab.start(cluster.name()).await.unwrap();
    let client = cluster.client().await.unwrap();
    eventually("the pods' restart", || async { (restarts(&client).await >= 2).then_some(()).ok_or(()) }).await;
    wait_until_ready(&client, "web", 2).await;
    assert_serves(address).await;
}
