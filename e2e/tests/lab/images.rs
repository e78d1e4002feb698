//! The images of this work tree in real pods.

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use skyfleet_e2e::ClusterSpec;
use skyfleet_e2e::artifacts::{BuiltImage, inference_server_image, model, skyfleet_image};
use skyfleet_e2e::fleet::embed;

use crate::embeddings::{assert_published_model_at, reference};
use crate::support::{eventually, lab};

fn pod(name: &str, image: &BuiltImage, container: &Value, volumes: &Value) -> Pod {
    let mut container = container.clone();
    container["name"] = json!("main");
    container["image"] = json!(image.reference);
    container["imagePullPolicy"] = json!("Never");
    container["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
    });
    let security = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    serde_json::from_value(json!({
        "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "containers": [container], "volumes": volumes, "restartPolicy": "Never", "securityContext": security },
    }))
    .unwrap()
}

async fn wait_for_phase(client: &Client, name: &str, phase: &str, ready: bool) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    eventually(name, || async {
        let status = pods.get(name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let is_ready = status.container_statuses.iter().flatten().all(|container| container.ready);
        let is_so = status.phase.as_deref() == Some(phase) && (is_ready || !ready);
        if is_so { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_images_run_as_pods_with_nothing_but_themselves() {
    let build = || (skyfleet_image().unwrap(), inference_server_image().unwrap(), model().unwrap());
    let (skyfleet, inference_server, model) = tokio::task::spawn_blocking(build).await.unwrap();
    let lab = lab("images", vec![ClusterSpec::with_pods("aws-1")]).await;
    let cluster = lab.cluster("aws-1").unwrap();
    let client = cluster.client().await.unwrap();
    for image in [&skyfleet, &inference_server] {
        lab.load_image("aws-1", &image.archive).await.unwrap();
    }

    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let version = pod("version", &skyfleet, &json!({ "args": ["--version"] }), &json!([]));
    pods.create(&PostParams::default(), &version).await.unwrap();
    wait_for_phase(&client, "version", "Succeeded", false).await;

    let container = json!({
        "env": [{ "name": "CLUSTER", "value": "aws-1" }],
        "readinessProbe": { "httpGet": { "path": "/readyz", "port": 8080 }, "periodSeconds": 1 },
        "volumeMounts": [{ "name": "models", "mountPath": "/models", "readOnly": true }],
        // Peak while loading: the file and the tensors made from it.
        "resources": { "limits": { "memory": "384Mi" } },
    });
    let volumes = json!([{ "name": "models", "hostPath": { "path": model } }]);
    pods.create(&PostParams::default(), &pod("embed", &inference_server, &container, &volumes)).await.unwrap();
    let service: Service = serde_json::from_value(json!({
        "metadata": { "name": "embed" },
        "spec": { "type": "NodePort", "selector": { "app": "embed" }, "ports": [{ "port": 80, "targetPort": 8080 }] },
    }))
    .unwrap();
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let service = services.create(&PostParams::default(), &service).await.unwrap();
    let address = format!("{}:{}", cluster.address(), service.spec.unwrap().ports.unwrap()[0].node_port.unwrap());
    wait_for_phase(&client, "embed", "Running", true).await;

    let text = reference().swap_remove(0).text;
    let answer = eventually("the NodePort", || embed(&address, &text)).await;
    assert_eq!(answer.cluster, "aws-1");
    assert_published_model_at(&address).await;
}
