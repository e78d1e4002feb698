//! A node of a member: what it has left, and whether it admits a pod, by the rules of Kubernetes' own scheduler.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Toleration};
use serde::{Deserialize, Serialize};

use super::{PodShape, Resources};

/// A node that takes pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Allocatable less the requests of the pods that are bound to it.
    pub free: Resources,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taints that keep pods away: `NoSchedule` and `NoExecute`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taints: Vec<NodeTaint>,
}

/// A taint of a node that keeps pods away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeTaint {
    /// Its key.
    pub key: String,
    /// Its value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule` or `NoExecute`.
    pub effect: String,
}

impl Node {
    /// Whether pods of this shape may be on it, room aside.
    #[must_use]
    pub fn admits(&self, shape: &PodShape) -> bool {
        self.taints.iter().all(|taint| shape.tolerations.iter().any(|toleration| tolerates(toleration, taint)))
            && shape.node_selector.iter().all(|(key, value)| self.labels.get(key) == Some(value))
            && (shape.required.is_empty() || shape.required.iter().any(|term| self.meets(term)))
    }

    /// Whether it is one that pods of this shape would rather be on; every node is when they have no wish.
    #[must_use]
    pub fn is_preferred(&self, shape: &PodShape) -> bool {
        shape.preferred.is_empty() || shape.preferred.iter().any(|wish| wish.weight > 0 && self.meets(&wish.preference))
    }

    /// How many more pods of this shape it holds.
    #[must_use]
    pub fn fits(&self, shape: &PodShape) -> i64 {
        if self.admits(shape) { self.free.times(&shape.requests) } else { 0 }
    }

    /// A term without any requirement meets no node, as in Kubernetes.
    fn meets(&self, term: &NodeSelectorTerm) -> bool {
        let expressions = term.match_expressions.as_deref().unwrap_or_default();
        let fields = term.match_fields.as_deref().unwrap_or_default();
        let named = |field: &NodeSelectorRequirement| {
            (field.key == "metadata.name").then_some(self.name.as_str()).is_some_and(|name| holds(field, Some(name)))
        };
        !(expressions.is_empty() && fields.is_empty())
            && expressions.iter().all(|wanted| holds(wanted, self.labels.get(&wanted.key).map(String::as_str)))
            && fields.iter().all(named)
    }
}

fn holds(wanted: &NodeSelectorRequirement, found: Option<&str>) -> bool {
    let values = wanted.values.as_deref().unwrap_or_default();
    let listed = found.is_some_and(|found| values.iter().any(|value| value == found));
    let numbers = || {
        let bound: i64 = values.first()?.parse().ok()?;
        Some((found?.parse::<i64>().ok()?, bound))
    };
    match wanted.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => numbers().is_some_and(|(found, bound)| found > bound),
        "Lt" => numbers().is_some_and(|(found, bound)| found < bound),
        _ => false,
    }
}

fn tolerates(toleration: &Toleration, taint: &NodeTaint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let key = text(&toleration.key);
    let exists = toleration.operator.as_deref() == Some("Exists");
    let effect = text(&toleration.effect);
    (key == taint.key || (key.is_empty() && exists))
        && (effect.is_empty() || effect == taint.effect)
        && (exists || text(&toleration.value) == taint.value)
}
