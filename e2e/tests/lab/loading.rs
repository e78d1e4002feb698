//! Pods load a model from Azure's store and from Google's: each from the one near its cluster.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::json;
use skyfleet_e2e::object_store::AZURITE_ACCOUNT;
use skyfleet_e2e::{Cluster, ClusterSpec, artifacts};
use tokio::task::spawn_blocking;

use crate::custom_resources::install_definitions;
use crate::embeddings::assert_published_model_at;
use crate::hub::Hub;
use crate::operator_process::OperatorProcess;
use crate::stores::Stores;
use crate::support::lab;

/// The members, and the kind of store that is near each.
const NEAR: [(&str, &str); 2] = [("azure", "azure-1"), ("gcs", "gcp-1")];

#[tokio::test(flavor = "multi_thread")]
async fn pods_load_their_model_from_azure_and_from_google() {
    let build = || (artifacts::skyfleet_image(), artifacts::inference_server_image(), artifacts::model());
    let (skyfleet, server, model) = spawn_blocking(build).await.unwrap();
    let (skyfleet, server, model) = (skyfleet.unwrap(), server.unwrap(), model.unwrap());
    let members = NEAR.iter().map(|(_, member)| ClusterSpec::with_pods(member));
    let lab = lab("loading", std::iter::once(ClusterSpec::control_plane("hub")).chain(members).collect()).await;
    for (_, member) in NEAR {
        lab.load_image(member, &skyfleet.archive).await.unwrap();
        lab.load_image(member, &server.archive).await.unwrap();
    }
    let hub_cluster = lab.cluster("hub").unwrap();
    install_definitions(&hub_cluster.kubeconfig()).await;
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::start(folder.path(), lab.cluster("azure-1").unwrap().machine()).await;
    stores.mirror(model.to_str().unwrap(), &stores.url("s3", "minilm")).await;

    let _operator = OperatorProcess::start_with(hub_cluster, "one", &["--image", &skyfleet.reference]).await;
    let hub = Hub(hub_cluster.client().await.unwrap());
    for (_, member) in NEAR {
        join(&hub, lab.cluster(member).unwrap()).await;
    }
    stores.create_buckets(&hub, &NEAR).await;
    let targets = NEAR.map(|(kind, _)| json!({"bucketRef": {"name": kind}, "prefix": "copies/minilm/"}));
    let spec = json!({"source": {"bucketRef": {"name": "s3"}, "prefix": "minilm/"}, "targets": targets});
    hub.create("DatasetReplica", "minilm", spec).await;
    serve(&hub, &server.reference).await;

    let status = hub.wait("ModelDeployment", "minilm", ["Ready", "True", "AsSpecified"]).await;
    let placements = status["placements"].as_array().unwrap();
    assert_eq!(placements.len(), NEAR.len(), "{status}");
    for placement in placements {
        assert_published_model_at(placement["endpoint"].as_str().unwrap()).await;
    }
    for (member, bucket) in
        [("azure-1", format!("az://{AZURITE_ACCOUNT}/data")), ("gcp-1", "gs://data?anonymous=true".to_owned())]
    {
        assert_loaded_from(lab.cluster(member).unwrap(), &bucket).await;
    }
}

/// Gives the hub access to a member, as its administrator.
async fn join(hub: &Hub, member: &Cluster) {
    let kubeconfig = std::fs::read_to_string(member.kubeconfig()).unwrap();
    hub.set_kubeconfig(member.name(), &serde_yaml::from_str(&kubeconfig).unwrap()).await;
    hub.create_cluster(member.name()).await;
    hub.wait("Cluster", member.name(), ["Ready", "True", "AsSpecified"]).await;
}

/// One replica of the inference server in each member.
async fn serve(hub: &Hub, image: &str) {
    let spec = json!({
        "model": {"name": "all-MiniLM-L6-v2", "datasetReplica": {"name": "minilm"}},
        "runtime": {
            "preset": "custom", "image": image, "port": 8080, "args": ["--model-dir", "/models"],
            "probes": {"readiness": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 2}},
            "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "768Mi"}},
        },
        "replicas": NEAR.len(),
        "placement": {"strategy": "RoundRobin"},
        "service": {"type": "NodePort", "port": 80},
    });
    hub.create("ModelDeployment", "minilm", spec).await;
}

/// That the member's pod was told to load from this bucket, and has done so.
async fn assert_loaded_from(member: &Cluster, bucket: &str) {
    let pods = Api::<Pod>::default_namespaced(member.client().await.unwrap());
    let pods = pods.list(&ListParams::default()).await.unwrap();
    assert_eq!(pods.items.len(), 1, "{}", member.name());
    let spec = pods.items[0].spec.as_ref().unwrap();
    let arguments = spec.init_containers.as_ref().unwrap()[0].args.clone().unwrap();
    assert!(arguments.contains(&format!("--bucket={bucket}")), "{arguments:?}");
    let loaded = pods.items[0].status.as_ref().unwrap().init_container_statuses.as_ref().unwrap();
    let ended = loaded[0].state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((ended.exit_code, loaded[0].restart_count), (0, 0), "{}", member.name());
}
