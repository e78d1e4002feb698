//! How many more replicas a cluster holds, and what it lacks for one more.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::admission::Admission;
use super::resources::written;
use super::{Node, PodShape, Resources};

/// How many more replicas of one shape a cluster holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// So many.
    pub replicas: i64,
    /// Of these, so many on nodes that they would rather be on.
    pub preferred: i64,
    /// Why not one more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortage: Option<Shortage>,
}

impl Room {
    /// Room without a bound.
    pub const UNBOUNDED: Self = Self { replicas: i64::MAX, preferred: i64::MAX, shortage: None };
}

/// What a cluster lacks for one more replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Shortage {
    /// Its nodes were not counted yet.
    NotCounted,
    /// It has no node that is Ready and takes pods.
    NoNode,
    /// Of so many nodes, none is one the pods may be on, by selector, affinity and taints.
    NoNodeAdmits {
        /// Nodes that are Ready and take pods.
        nodes: usize,
    },
    /// No node has enough of this resource left.
    Resource {
        /// Its name.
        resource: String,
        /// What a replica needs, on one node.
        needed: i64,
        /// The most that one node has left.
        most_free: i64,
    },
    /// Every resource is there, but not all on one node.
    NotOnOneNode,
    /// `spec.limits` of the Cluster leave too little.
    Limit {
        /// The resource.
        resource: String,
        /// What a replica needs.
        needed: i64,
        /// What is left of the limit.
        left: i64,
    },
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCounted => f.write_str("its nodes were not counted yet"),
            Self::NoNode => f.write_str("it has no node that is Ready and takes pods"),
            Self::NoNodeAdmits { nodes } => {
                write!(f, "none of its {nodes} nodes admits the pods (node selector, affinity, taints)")
            }
            Self::Resource { resource, needed, most_free } => {
                let (needed, free) = (written(resource, *needed), written(resource, (*most_free).max(0)));
                write!(f, "a replica needs {needed} {resource} on one node, and the most that one has left is {free}")
            }
            Self::NotOnOneNode => f.write_str("no single node has all that a replica needs"),
            Self::Limit { resource, needed, left } => {
                let (needed, left) = (written(resource, *needed), written(resource, (*left).max(0)));
                write!(f, "a replica needs {needed} {resource}, and spec.limits of the Cluster leave {left}")
            }
        }
    }
}

/// The room on these nodes, of which it is known whether they admit such pods.
pub(super) fn on_nodes(nodes: &[Node], admissions: &[Admission], shape: &PodShape) -> Room {
    let mut room = Room::default();
    for (node, admission) in nodes.iter().zip(admissions).filter(|(_, admission)| admission.admits) {
        let fits = node.free.times(&shape.requests);
        room.replicas = room.replicas.saturating_add(fits);
        if admission.is_preferred {
            room.preferred = room.preferred.saturating_add(fits);
        }
    }
    if room.replicas == 0 {
        room.shortage = Some(shortage(nodes, admissions, shape));
    }
    room
}

fn shortage(nodes: &[Node], admissions: &[Admission], shape: &PodShape) -> Shortage {
    if nodes.is_empty() {
        return Shortage::NoNode;
    }
    let admitting = || nodes.iter().zip(admissions).filter(|(_, admission)| admission.admits).map(|(node, _)| node);
    if admitting().next().is_none() {
        return Shortage::NoNodeAdmits { nodes: nodes.len() };
    }
    let nothing = Resources::default();
    for (resource, _, needed) in nothing.against(&shape.requests) {
        let most_free = admitting().map(|node| node.free.amount(resource)).max().unwrap_or_default();
        if most_free < needed {
            return Shortage::Resource { resource: resource.to_owned(), needed, most_free };
        }
    }
    Shortage::NotOnOneNode
}
