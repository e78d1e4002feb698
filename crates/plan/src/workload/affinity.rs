//! Which nodes a pod may be on, by what the spec says of GPU memory and of nodes that the cloud may take away.

use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, PreferredSchedulingTerm,
};
use kube_quantity::ParsedQuantity;
use skyfleet_api::ModelDeploymentSpec;
use skyfleet_api::model_deployment::CapacityType;

/// Set by NVIDIA's GPU feature discovery: the memory of a GPU in MiB.
const GPU_MEMORY: &str = "nvidia.com/gpu.memory";
/// Labels of nodes that the cloud may take away, with the value that says so: Karpenter, EKS, GKE (spot and the older
/// preemptible), AKS.
const SPOT: [(&str, &str); 5] = [
    ("karpenter.sh/capacity-type", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
];
/// The most a preference can weigh.
const STRONGLY: i32 = 100;

type Requirements = Vec<NodeSelectorRequirement>;

/// Adds what the spec asks of nodes to what the pod asks of them already.
pub(super) fn constrain(pod: &mut PodSpec, spec: &ModelDeploymentSpec) {
    let gpu: Requirements = gpu_memory(spec).into_iter().collect();
    match spec.placement.capacity_type {
        CapacityType::Any => require(pod, &[gpu]),
        CapacityType::OnDemand => require(pod, &[[gpu, on_demand()].concat()]),
        CapacityType::Spot => {
            let each: Vec<_> = spot().into_iter().map(|one| [gpu.clone(), vec![one]].concat()).collect();
            require(pod, &each);
        }
        CapacityType::PreferOnDemand => {
            require(pod, &[gpu]);
            prefer(pod, vec![on_demand()]);
        }
        CapacityType::PreferSpot => {
            require(pod, &[gpu]);
            prefer(pod, spot().into_iter().map(|one| vec![one]).collect());
        }
    }
}

fn gpu_memory(spec: &ModelDeploymentSpec) -> Option<NodeSelectorRequirement> {
    let wanted = ParsedQuantity::try_from(spec.runtime.gpu_memory.as_ref()?).ok()?.to_bytes_f64()?;
    #[allow(clippy::cast_possible_truncation, reason = "a GPU has less than 2^63 MiB")]
    let mebibytes = (wanted / f64::from(1 << 20)).ceil() as i64;
    Some(requirement(GPU_MEMORY, "Gt", &(mebibytes - 1).to_string()))
}

fn spot() -> Requirements {
    SPOT.iter().map(|(key, value)| requirement(key, "In", value)).collect()
}

/// A label that a node does not have is not in any list.
fn on_demand() -> Requirements {
    SPOT.iter().map(|(key, value)| requirement(key, "NotIn", value)).collect()
}

fn requirement(key: &str, operator: &str, value: &str) -> NodeSelectorRequirement {
    NodeSelectorRequirement { key: key.to_owned(), operator: operator.to_owned(), values: Some(vec![value.to_owned()]) }
}

/// Terms are alternatives, so each of the pod's is joined with each of these.
fn require(pod: &mut PodSpec, alternatives: &[Requirements]) {
    if alternatives.iter().all(Vec::is_empty) {
        return;
    }
    let affinity = pod.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    let required = affinity.required_during_scheduling_ignored_during_execution.take().unwrap_or_default();
    let mut terms = required.node_selector_terms;
    if terms.is_empty() {
        terms.push(NodeSelectorTerm::default());
    }
    let join = |term: &NodeSelectorTerm, more: &Requirements| {
        let expressions = [term.match_expressions.clone().unwrap_or_default(), more.clone()].concat();
        NodeSelectorTerm { match_expressions: Some(expressions), match_fields: term.match_fields.clone() }
    };
    let joined = terms.iter().flat_map(|term| alternatives.iter().map(|more| join(term, more))).collect();
    affinity.required_during_scheduling_ignored_during_execution = Some(NodeSelector { node_selector_terms: joined });
}

fn prefer(pod: &mut PodSpec, alternatives: Vec<Requirements>) {
    let affinity = pod.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    let wishes = affinity.preferred_during_scheduling_ignored_during_execution.get_or_insert_default();
    wishes.extend(alternatives.into_iter().map(|expressions| PreferredSchedulingTerm {
        weight: STRONGLY,
        preference: NodeSelectorTerm { match_expressions: Some(expressions), match_fields: None },
    }));
}
