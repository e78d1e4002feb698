//! What a lab should consist of.

use serde::{Deserialize, Serialize};

use crate::state::LabState;

/// The lab asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabSpec {
    /// 1 to 20 of a-z, 0-9 and `-`; labs of different names run side by side.
    pub name: String,
    /// Its clusters, by convention the hub first.
    pub clusters: Vec<ClusterSpec>,
}

/// A cluster asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// As [`LabSpec::name`].
    pub name: String,
    /// Whether it has a node and runs pods; without, it is a control plane only and starts in seconds. Clusters by kind
    /// always have a node.
    pub pods: bool,
}

impl ClusterSpec {
    /// A cluster with a node.
    #[must_use]
    pub fn with_pods(name: &str) -> Self {
        Self { name: name.to_owned(), pods: true }
    }

    /// A control plane only.
    #[must_use]
    pub fn control_plane(name: &str) -> Self {
        Self { name: name.to_owned(), pods: false }
    }
}

/// What the lab has, and what is asked for beyond that; a control plane may gain a node but not lose it.
pub(crate) fn merge(mut state: LabState, spec: &LabSpec) -> LabState {
    for asked in &spec.clusters {
        match state.clusters.iter_mut().find(|cluster| cluster.name == asked.name) {
            Some(cluster) => cluster.pods |= asked.pods,
            None => state.clusters.push(asked.clone()),
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_up_adds_and_never_takes_away() {
        let clusters = vec![ClusterSpec::control_plane("hub"), ClusterSpec::with_pods("aws-1")];
        let state = LabState { clusters, ..LabState::default() };
        let clusters = vec![
            ClusterSpec::with_pods("hub"),
            ClusterSpec::control_plane("aws-1"),
            ClusterSpec::control_plane("gcp-1"),
        ];
        let merged = merge(state, &LabSpec { name: "demo".into(), clusters });
        let expected =
            [ClusterSpec::with_pods("hub"), ClusterSpec::with_pods("aws-1"), ClusterSpec::control_plane("gcp-1")];
        assert_eq!(merged.clusters, expected);
    }
}
