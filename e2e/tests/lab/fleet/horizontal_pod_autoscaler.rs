//! A plain HorizontalPodAutoscaler on the hub: Kubernetes' own controller sets the number of replicas through the scale
//! subresource, from a metric of the ModelDeployment in `custom.metrics.k8s.io`.

use std::process::Command;

use serde_json::{Value, json};
use skyfleet_e2e::artifacts::metrics_adapter;
use skyfleet_e2e::fleet::{Fleet, HUB, NAMESPACE};
use tokio::task::spawn_blocking;

use super::fleet_state::{json, patch, wait_for_shares, wait_ready};
use crate::support::{eventually, post};

const ADAPTER: &str = "metrics-adapter";
const METRIC: &str = "requests-in-flight";
/// Where the adapter serves its API.
const PORT: u16 = 6444;
/// Where it takes values.
const VALUES_PORT: u16 = 8080;

pub(super) async fn replicas_follow_a_horizontal_pod_autoscaler(fleet: &Fleet) {
    start_adapter(fleet).await;
    report(fleet, 12).await;
    fleet.apply(HUB, &autoscaler().to_string()).await.unwrap();
    for (requests, shares) in [(18, [3, 3, 3]), (6, [1, 1, 1]), (12, [2, 2, 2])] {
        report(fleet, requests).await;
        wait_for_shares(fleet, shares).await;
        wait_ready(fleet, "modeldeployment", "minilm").await;
    }
    let arguments = ["get", "horizontalpodautoscaler", "minilm", "-n", NAMESPACE];
    eventually("the autoscaler sees what it asked for", || async {
        let status = json(fleet, HUB, &arguments).await["status"].clone();
        let found = (status["currentReplicas"].as_i64(), status["desiredReplicas"].as_i64());
        if found == (Some(6), Some(6)) { Ok(()) } else { Err(status.to_string()) }
    })
    .await;

    fleet.kubectl(HUB, &["delete", "horizontalpodautoscaler", "minilm", "-n", NAMESPACE], "").await.unwrap();
    fleet.kubectl(HUB, &["delete", "apiservice", "v1beta2.custom.metrics.k8s.io"], "").await.unwrap();
    patch(fleet, &json!({"spec": {"replicas": 6}})).await;
}

/// Two requests a replica, and no waiting before a step down.
fn autoscaler() -> Value {
    let metric = json!({
        "describedObject": {"apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelDeployment", "name": "minilm"},
        "metric": {"name": METRIC},
        "target": {"type": "AverageValue", "averageValue": "2"},
    });
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "minilm", "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelDeployment", "name": "minilm"},
            "minReplicas": 3, "maxReplicas": 9,
            "metrics": [{"type": "Object", "object": metric}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
    })
}

/// Runs the adapter beside the hub's API server, which passes the API on to it.
async fn start_adapter(fleet: &Fleet) {
    let hub = fleet.lab.cluster(HUB).unwrap();
    let mut adapter = Command::new(spawn_blocking(metrics_adapter).await.unwrap().unwrap());
    let kubeconfig = hub.kubeconfig();
    for flag in ["lister-kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        adapter.arg(format!("--{flag}={}", kubeconfig.display()));
    }
    adapter.arg(format!("--secure-port={PORT}"));
    adapter.arg(format!("--cert-dir={}", hub.folder().join(ADAPTER).display()));
    hub.spawn(ADAPTER, &adapter).unwrap();

    let (namespace, address) = ("kube-system", hub.address().to_string());
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": ADAPTER, "namespace": namespace},
        "spec": {"ports": [{"port": 443, "targetPort": PORT}]},
    });
    let endpoints = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": ADAPTER, "namespace": namespace, "labels": {"kubernetes.io/service-name": ADAPTER}},
        "addressType": "IPv4", "endpoints": [{"addresses": [address]}], "ports": [{"port": PORT}],
    });
    // The adapter makes itself a certificate.
    let api = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta2.custom.metrics.k8s.io"},
        "spec": {
            "group": "custom.metrics.k8s.io", "version": "v1beta2", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"name": ADAPTER, "namespace": namespace},
        },
    });
    for object in [service, endpoints, api] {
        fleet.apply(HUB, &object.to_string()).await.unwrap();
    }
}

/// Says how many requests are in flight, and waits until the hub's API has it.
async fn report(fleet: &Fleet, requests: u32) {
    let address = format!("{}:{VALUES_PORT}", fleet.lab.cluster(HUB).unwrap().address());
    let object = format!("namespaces/{NAMESPACE}/modeldeployments.skyfleet.dev/minilm/{METRIC}");
    eventually("the metric is served", || async {
        post(&address, &format!("/write-metrics/{object}"), &format!("\"{requests}\"")).await?;
        let path = format!("/apis/custom.metrics.k8s.io/v1beta2/{object}");
        let served = fleet.kubectl(HUB, &["get", "--raw", &path], "").await.map_err(|error| error.to_string())?;
        let served: Value = serde_json::from_str(&served).map_err(|error| error.to_string())?;
        let value = served["items"][0]["value"].as_str().and_then(|value| value.parse().ok());
        if value == Some(requests) { Ok(()) } else { Err(served.to_string()) }
    })
    .await;
}
