use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use serde_json::{Value, json};
use skyfleet_api::{ModelDeploymentSpec, labels};

use super::{Loader, ModelSource, PodIdentity, Share, WorkloadError};

fn spec(runtime: &Value) -> ModelDeploymentSpec {
    let model = json!({"name": "minilm", "datasetReplica": {"name": "weights"}});
    serde_json::from_value(json!({"model": model, "runtime": runtime})).expect("a spec")
}

fn source() -> ModelSource {
    ModelSource {
        endpoint: Some("http://store:3900".to_owned()),
        region: None,
        bucket: "models".to_owned(),
        bucket_prefix: String::new(),
        dataset_prefix: "minilm/".to_owned(),
        dataset: "default.weights".to_owned(),
        digest: "sha256:abc".to_owned(),
        path: String::new(),
        identity: None,
    }
}

fn template(spec: &ModelDeploymentSpec, model: Option<&ModelSource>) -> Result<PodTemplateSpec, WorkloadError> {
    let loader = Loader { image: "skyfleet:1".to_owned(), image_pull_policy: None };
    let share = Share {
        name: "minilm",
        namespace: "default",
        uid: "uid-1",
        hub: "hub-1",
        cluster: "aws-1",
        replicas: 2,
        spec,
        revision: None,
        model,
        loader: &loader,
    };
    Ok(share.deployment()?.spec.expect("a Deployment has a spec").template)
}

fn pod(spec: &ModelDeploymentSpec, model: Option<&ModelSource>) -> PodSpec {
    template(spec, model).expect("a good spec").spec.expect("a pod has a spec")
}

fn runtime(pod: &PodSpec) -> &Container {
    pod.containers.iter().find(|container| container.name == "runtime").expect("the runtime's container")
}

#[test]
fn each_preset_tells_its_server_model_and_port() {
    for (preset, port, argument, path) in [
        ("vllm", 8000, "--served-model-name=minilm", "/health"),
        ("tei", 8080, "--model-id=/models", "/health"),
        ("triton", 8000, "--model-repository=/models", "/v2/health/ready"),
        ("llamaCpp", 8080, "--alias=minilm", "/health"),
    ] {
        let pod = pod(&spec(&json!({"preset": preset, "args": ["--mine"]})), Some(&source()));
        let container = runtime(&pod);
        let args = container.args.clone().unwrap_or_default();
        assert!(args.iter().any(|found| found == argument), "{preset}: {args:?}");
        assert_eq!(args.last().map(String::as_str), Some("--mine"), "the user's arguments come last");
        assert_eq!(container.ports.as_ref().map(|ports| ports[0].container_port), Some(port), "{preset}");
        let probe = container.readiness_probe.clone().and_then(|probe| probe.http_get).expect("an HTTP probe");
        assert_eq!(probe.path.as_deref(), Some(path), "{preset}");
        assert!(container.image.as_ref().is_some_and(|image| image.contains(':')), "{preset} has a pinned image");
    }
}

#[test]
fn the_model_is_loaded_before_the_runtime_starts_and_is_read_only_to_it() {
    let pod = pod(&spec(&json!({"image": "mine:1", "port": 9000})), Some(&source()));
    let loaders = pod.init_containers.clone().unwrap_or_default();
    let args = loaders[0].args.clone().unwrap_or_default();
    assert_eq!(args[0], "fetch");
    for wanted in ["--bucket=models", "--dataset=default.weights", "--digest=sha256:abc", "--into=/models"] {
        assert!(args.iter().any(|found| found == wanted), "{wanted} in {args:?}");
    }
    assert!(!args.iter().any(|found| found.starts_with("--region")), "what is not set is not said");
    let mounts = runtime(&pod).volume_mounts.clone().unwrap_or_default();
    assert_eq!((mounts[0].mount_path.as_str(), mounts[0].read_only), ("/models", Some(true)));
}

#[test]
fn a_pod_with_an_identity_has_its_service_account_and_no_secret() {
    for (service_account, is_azure) in
        [(Some("models".to_owned()), true), (Some("models".to_owned()), false), (None, true)]
    {
        let identity = Some(PodIdentity { service_account: service_account.clone(), is_azure });
        let source = ModelSource { identity, ..source() };
        let template = template(&spec(&json!({"preset": "vllm"})), Some(&source)).expect("a good spec");
        let labels = template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
        assert_eq!(labels.get("azure.workload.identity/use").map(String::as_str), is_azure.then_some("true"));
        let pod = template.spec.expect("a pod has a spec");
        assert_eq!(pod.service_account_name, service_account);
        assert!(pod.init_containers.expect("a loader")[0].env_from.is_none());
    }
    let given = template(&spec(&json!({"preset": "vllm"})), Some(&source())).expect("a good spec");
    assert!(given.spec.and_then(|pod| pod.init_containers).expect("a loader")[0].env_from.is_some());
}

#[test]
fn a_model_in_the_image_needs_no_loader() {
    let pod = pod(&spec(&json!({"image": "mine:1", "port": 9000})), None);
    assert!(pod.init_containers.is_none() && pod.volumes.is_none());
}

#[test]
fn the_overlay_is_merged_by_name_and_cannot_take_the_labels() {
    let overlay = json!({
        "metadata": {"labels": {"team": "search", labels::MODEL_DEPLOYMENT: "stolen"}},
        "spec": {
            "nodeSelector": {"gpu": "true"},
            "containers": [
                {"name": "runtime", "env": [{"name": "A", "value": "1"}]},
                {"name": "sidecar", "image": "sidecar:1"}
            ]
        }
    });
    let spec = spec(&json!({"image": "mine:1", "port": 9000, "podTemplate": overlay}));
    let template = template(&spec, Some(&source())).expect("a good overlay");
    let labels_found = template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default();
    assert_eq!(labels_found.get("team").map(String::as_str), Some("search"));
    assert_eq!(labels_found.get(labels::MODEL_DEPLOYMENT).map(String::as_str), Some("minilm"));
    let pod = template.spec.expect("a pod has a spec");
    assert_eq!(pod.containers.len(), 2);
    assert_eq!(runtime(&pod).image.as_deref(), Some("mine:1"));
    assert_eq!(runtime(&pod).env.as_ref().map(Vec::len), Some(1));
    assert!(pod.node_selector.is_some_and(|selector| selector.contains_key("gpu")));
}

#[test]
fn an_overlay_that_is_no_pod_template_is_refused_with_its_place() {
    let spec = spec(&json!({"image": "mine:1", "port": 9000, "podTemplate": {"spec": {"containers": "none"}}}));
    let error = template(&spec, None).expect_err("a bad overlay");
    assert!(error.to_string().starts_with("spec.runtime.podTemplate is not a PodTemplateSpec"), "{error}");
}

#[test]
fn the_same_share_gives_the_same_bytes() {
    let spec = spec(&json!({"preset": "vllm"}));
    let bytes = |()| serde_json::to_vec(&template(&spec, Some(&source())).expect("a good spec")).expect("plain data");
    assert_eq!(bytes(()), bytes(()));
}

#[test]
fn what_is_asked_of_nodes_is_joined_with_what_the_overlay_asks() {
    let overlay = json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]},
                              {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]}],
    }}}}});
    for (runtime, capacity_type, terms, expressions, preferred) in [
        (json!({"preset": "vllm"}), "Any", 0, 0, 0),
        (json!({"preset": "vllm", "gpuMemory": "40Gi"}), "Any", 1, 1, 0),
        (json!({"preset": "vllm", "gpuMemory": "40Gi", "podTemplate": overlay}), "Any", 2, 2, 0),
        (json!({"preset": "vllm", "podTemplate": overlay}), "OnDemand", 2, 6, 0),
        (json!({"preset": "vllm", "podTemplate": overlay}), "Spot", 10, 2, 0),
        (json!({"preset": "vllm"}), "PreferSpot", 0, 0, 5),
        (json!({"preset": "vllm"}), "PreferOnDemand", 0, 0, 1),
    ] {
        let mut spec = spec(&runtime);
        spec.placement.capacity_type = serde_json::from_value(json!(capacity_type)).expect("a capacity type");
        let shape = super::pod_shape(&spec).expect("a good spec");
        assert_eq!((shape.required.len(), shape.preferred.len()), (terms, preferred), "{runtime} {capacity_type}");
        let joined = |term: &k8s_openapi::api::core::v1::NodeSelectorTerm| {
            term.match_expressions.as_ref().is_some_and(|all| all.len() == expressions)
        };
        assert!(shape.required.iter().all(joined), "{:?}", shape.required);
    }
    let mut spec = spec(&json!({"preset": "vllm", "gpuMemory": "40Gi"}));
    spec.runtime.resources =
        Some(serde_json::from_value(json!({"limits": {"nvidia.com/gpu": "1"}})).expect("resources"));
    let shape = super::pod_shape(&spec).expect("a good spec");
    assert_eq!(shape.requests.amount("nvidia.com/gpu"), 1);
    assert_eq!(shape.requests.amount("memory"), 128 << 20, "the loader's, which is the larger");
    let node = |mebibytes: &str| crate::capacity::Node {
        labels: [("nvidia.com/gpu.memory".to_owned(), mebibytes.to_owned())].into(),
        ..crate::capacity::Node::default()
    };
    assert!(node("40960").admits(&shape) && !node("40959").admits(&shape));
}

#[test]
fn a_server_goes_on_for_a_moment_when_its_pod_ends_unless_the_overlay_knows_better() {
    let own = json!({"containers": [{"name": "runtime", "lifecycle": {"preStop": {"exec": {"command": ["/drain"]}}}}]});
    for (overlay, seconds) in [
        (json!({}), Some(5)),
        (json!({"terminationGracePeriodSeconds": 4}), Some(2)),
        (json!({"terminationGracePeriodSeconds": 0}), None),
        (own, None),
    ] {
        let spec = spec(&json!({"image": "mine:1", "port": 9000, "podTemplate": {"spec": overlay}}));
        let pod = pod(&spec, None);
        let pre_stop = runtime(&pod).lifecycle.clone().and_then(|lifecycle| lifecycle.pre_stop);
        let sleep = pre_stop.as_ref().and_then(|pre_stop| pre_stop.sleep.as_ref()).map(|sleep| sleep.seconds);
        assert_eq!(sleep, seconds, "{overlay}");
    }
}
