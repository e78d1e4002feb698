//! The ModelDeployments: every strategy, 1 to 12 replicas, every fourth with bounds.

use std::sync::Arc;

use serde_json::{Value, json};
use skyfleet_api::ModelDeployment;
use skyfleet_plan::capacity::{ModelKey, PodShape};
use skyfleet_plan::workload::pod_shape;

const STRATEGIES: [&str; 7] =
    ["RoundRobin", "Weighted", "LeastConnection", "LeastResponseTime", "Binpack", "Spread", "Cheapest"];
/// GPUs of a replica: most models need none.
const GPUS: [usize; 16] = [0, 0, 1, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 0];

/// A ModelDeployment, and what its pods need of a node.
pub struct Model {
    pub key: ModelKey,
    pub resource: ModelDeployment,
    pub shape: Arc<PodShape>,
}

pub fn model(index: usize) -> Model {
    let name = format!("model-{index:05}");
    let value = json!({
        "apiVersion": "skyfleet.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "model": {"name": name, "datasetReplica": {"name": "weights"}},
            "runtime": runtime(index),
            "replicas": index % 12 + 1,
            "placement": placement(index),
        },
    });
    let resource: ModelDeployment = serde_json::from_value(value).expect("a ModelDeployment");
    let shape = Arc::new(pod_shape(&resource.spec).expect("pods of a preset"));
    Model { key: ModelKey { namespace: "default".to_owned(), name }, resource, shape }
}

fn runtime(index: usize) -> Value {
    let gpus = GPUS[index % 16];
    let requests = json!({"cpu": format!("{}m", 250 * (1 + index % 4)), "memory": format!("{}Gi", 2 + index % 7)});
    if gpus == 0 {
        return json!({"preset": "vllm", "resources": {"requests": requests}});
    }
    json!({
        "preset": "vllm",
        "resources": {"requests": requests, "limits": {"nvidia.com/gpu": gpus}},
        "gpuMemory": if gpus == 2 { "60Gi" } else { "20Gi" },
        "podTemplate": {"spec": {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}},
    })
}

fn placement(index: usize) -> Value {
    let mut placement = json!({"strategy": STRATEGIES[index % 7]});
    if index % 7 == 1 {
        placement["weights"] = json!([{"clusters": [format!("cluster-{:03}", index % 100)], "weight": 3}]);
    }
    match index % 16 {
        3 => placement["spread"] = json!([{"by": "provider", "maxSkew": 2}, {"by": "cluster", "maxReplicas": 3}]),
        7 => placement["minClusters"] = json!(3),
        11 => placement["spread"] = json!([{"by": "region", "minPlaces": 2, "maxPlaces": 4}]),
        15 => placement["spread"] = json!([{"by": "cluster", "maxPlaces": 5}]),
        _ => {}
    }
    placement
}
