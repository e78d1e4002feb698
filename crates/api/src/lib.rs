//! The custom resources of Skyfleet (group `skyfleet.dev`, version `v1alpha1`): types, the rules an API server checks,
//! defaults and the words of their conditions. Nothing here talks to anything: no client, no async, no clock.

#![allow(clippy::duplicated_attributes, reason = "print columns of one type look like repetitions to it")]

pub mod bucket;
pub mod cluster;
pub mod conditions;
pub mod dataset_replica;
pub mod labels;
pub mod model_deployment;
pub mod model_route;
pub mod references;
mod rules;
mod schema;

pub use bucket::{Bucket, BucketSpec, BucketStatus};
pub use cluster::{Cluster, ClusterSpec, ClusterStatus};
pub use conditions::{ConditionType, Reason};
pub use dataset_replica::{DatasetReplica, DatasetReplicaSpec, DatasetReplicaStatus};
pub use model_deployment::{ModelDeployment, ModelDeploymentSpec, ModelDeploymentStatus};
pub use model_route::{ModelRoute, ModelRouteSpec, ModelRouteStatus};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of every kind.
pub const GROUP: &str = "skyfleet.dev";
/// The version of every kind.
pub const VERSION: &str = "v1alpha1";

/// Every CustomResourceDefinition this version of Skyfleet serves, in the order of their names.
#[must_use]
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    vec![Bucket::crd(), Cluster::crd(), DatasetReplica::crd(), ModelDeployment::crd(), ModelRoute::crd()]
}

/// What a kind accepts in its schema for a later version but this version does not act on yet.
///
/// Such an object is refused with [`Reason::UnsupportedField`]: a wish ignored in silence would look granted.
pub trait UnsupportedFields {
    /// The paths, such as `spec.failover`, of the fields that are set and not acted on; empty when all are.
    fn unsupported_fields(&self) -> Vec<String>;
}
