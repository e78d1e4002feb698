//! What one replica needs of a node, read off the very pod template its member will be given.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, NodeSelectorTerm, PodSpec, PreferredSchedulingTerm, Toleration};
use serde::{Deserialize, Serialize};

use super::Resources;

/// What one replica needs of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodShape {
    /// What it requests, itself as one pod included.
    pub requests: Resources,
    /// Labels that the node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// The node must meet one of these, when there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<NodeSelectorTerm>,
    /// Nodes that it would rather be on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub preferred: Vec<PreferredSchedulingTerm>,
    /// Taints of nodes that do not keep it away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

impl PodShape {
    /// The shape of such pods.
    #[must_use]
    pub fn of(pod: &PodSpec) -> Self {
        let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required =
            affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        let preferred =
            affinity.and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.clone());
        Self {
            requests: requests(pod),
            node_selector: pod.node_selector.clone().unwrap_or_default(),
            required: required.map(|required| required.node_selector_terms.clone()).unwrap_or_default(),
            preferred: preferred.unwrap_or_default(),
            tolerations: pod.tolerations.clone().unwrap_or_default(),
        }
    }
}

/// What the scheduler reserves for a pod: the containers' sum or the largest init container, by resource; sidecars count as
/// containers (KEP-753). A limit without a request is a request too, as the API server has it.
pub(super) fn requests(pod: &PodSpec) -> Resources {
    let mut running = Resources::default();
    let mut starting = Resources::default();
    for container in &pod.containers {
        running.add(&requests_of(container));
    }
    for container in pod.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(&requests_of(container));
        } else {
            starting.raise_to(&requests_of(container));
        }
    }
    running.raise_to(&starting);
    running.add(&Resources::from_quantities(pod.overhead.iter().flatten()));
    running.pods = 1;
    running
}

fn requests_of(container: &Container) -> Resources {
    let Some(resources) = &container.resources else { return Resources::default() };
    let mut all = resources.limits.clone().unwrap_or_default();
    all.extend(resources.requests.clone().unwrap_or_default());
    Resources::from_quantities(&all)
}
