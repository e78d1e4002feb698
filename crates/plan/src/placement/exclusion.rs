//! Why a cluster gets no new replica, with the number that failed, and what would change it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use skyfleet_api::cluster::Taint;
use skyfleet_api::model_deployment::ClusterField;

use crate::capacity::Shortage;

/// Why a cluster gets no new replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Exclusion {
    /// Its API server does not answer; what it holds is counted and left.
    Unreachable {
        /// Since when.
        since: Timestamp,
        /// When its replicas are made elsewhere; `None` where the hub suspects itself, or must not.
        until: Option<Timestamp>,
    },
    /// It has not answered for longer than the grace period; what it holds is made elsewhere.
    Lost {
        /// Since when.
        since: Timestamp,
    },
    /// Its API server answers and refuses what is asked.
    Refusing,
    /// It is leaving the fleet.
    Leaving,
    /// The cluster selector does not match its labels.
    NotSelected,
    /// A field is not as `clusterFields` wants it.
    Field {
        /// The field.
        field: ClusterField,
        /// What it is.
        found: String,
    },
    /// The model must not be there.
    Residency {
        /// `provider` or `region`.
        by: String,
        /// Which one it is.
        found: String,
    },
    /// It has a taint that is not tolerated.
    Tainted(Taint),
    /// Its weight is 0.
    Weightless,
    /// No bucket of the dataset lies near it.
    NoBucketNear,
    /// The bucket near it cannot be filled.
    DataFailed(String),
    /// Replicas there have not served for longer than they may.
    NotServing {
        /// So many are ready,
        ready: i32,
        /// of so many,
        of: i32,
        /// since when.
        since: Timestamp,
    },
    /// It has no room for one more.
    NoRoom(Shortage),
}

impl Exclusion {
    /// What a person can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreachable { until: None, .. } => "restore the hub's contact with it".to_owned(),
            Self::Unreachable { until: Some(until), .. } => {
                format!("restore contact with it; from {until} on its replicas are made elsewhere")
            }
            Self::Lost { .. } => "restore contact with it".to_owned(),
            Self::Refusing => "renew its credentials: its conditions say which".to_owned(),
            Self::Leaving => "nothing: the Cluster was deleted".to_owned(),
            Self::NotSelected => "label the Cluster so, or change spec.placement.clusterSelector".to_owned(),
            Self::Field { .. } => "change spec.placement.clusterFields".to_owned(),
            Self::Residency { .. } => "allow it in spec.placement.residency".to_owned(),
            Self::Tainted(taint) => {
                format!("tolerate {:?} in spec.placement.tolerations, or remove the Cluster's taint", taint.key)
            }
            Self::Weightless => "give it a weight in spec.placement.weights".to_owned(),
            Self::NoBucketNear => {
                "add a target near it to the DatasetReplica, or set spec.placement.dataLocality to Preferred".to_owned()
            }
            Self::DataFailed(_) => "mend the DatasetReplica: its status has the error".to_owned(),
            Self::NotServing { .. } => "look at its pods: events and logs in the member say why".to_owned(),
            Self::NoRoom(Shortage::Limit { resource, .. }) => {
                format!("raise {resource} in spec.limits of the Cluster, or let others go")
            }
            Self::NoRoom(Shortage::NotCounted) => {
                "wait for the next count of its nodes; the credentials must allow to list nodes and pods".to_owned()
            }
            Self::NoRoom(_) => {
                "add nodes, let others go, or ask for less; where nodes come by themselves set spec.capacityPolicy of the \
                 Cluster to Elastic"
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Since when is in the Cluster's conditions. Until it is, the hub can only say "since now", and a text that is
            // another at each look would be written at each look.
            Self::Unreachable { .. } => f.write_str("its API server cannot be reached"),
            Self::Lost { since } => write!(f, "lost: its API server cannot be reached since {since}"),
            Self::Refusing => f.write_str("its API server refuses the hub's credentials"),
            Self::Leaving => f.write_str("the Cluster is being deleted"),
            Self::NotSelected => f.write_str("its labels do not match spec.placement.clusterSelector"),
            Self::Field { field, found } => {
                write!(f, "its {} {found:?} is not what spec.placement.clusterFields wants", field_name(*field))
            }
            Self::Residency { by, found } => write!(f, "spec.placement.residency does not allow the {by} {found:?}"),
            Self::Tainted(taint) => {
                write!(f, "taint {}={}:{:?} is not tolerated", taint.key, taint.value, taint.effect)
            }
            Self::Weightless => f.write_str("its weight in spec.placement.weights is 0"),
            Self::NoBucketNear => f.write_str("no bucket of the dataset lies near it (spec.near of a Bucket)"),
            Self::DataFailed(why) => write!(f, "the data near it cannot be verified: {why}"),
            Self::NotServing { ready, of, since } => {
                write!(f, "only {ready} of {of} replicas there are ready since {since}")
            }
            Self::NoRoom(shortage) => shortage.fmt(f),
        }
    }
}

fn field_name(field: ClusterField) -> &'static str {
    match field {
        ClusterField::Name => "name",
        ClusterField::Provider => "provider",
        ClusterField::Region => "region",
        ClusterField::Zone => "zone",
    }
}
