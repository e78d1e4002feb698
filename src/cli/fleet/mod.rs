//! A fleet as its objects alone tell of it, be they manifests in files or what the hub holds: pure. The operator knows more:
//! it speaks to the members.
//!
//! * [`Fleet`]: the objects.
//! * [`data`]: which clusters a model's data lies near.
//! * [`room`]: how much room there is, by Nodes or by a Cluster's status.
//! * [`books`]: the ledger over all ModelDeployments, and the question for one of them.

mod books;
mod data;
mod room;

pub(super) use books::{Books, Moment, replicas};
pub(super) use room::{Basis, Unknown};

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use skyfleet_api::{Bucket, Cluster, DatasetReplica, ModelDeployment, UnsupportedFields};
use skyfleet_plan::capacity::ModelKey;
use skyfleet_plan::load::Reading;
use skyfleet_plan::workload::{metrics, pod_shape};

/// An object of the hub by namespace and name.
pub(super) type Key = (String, String);

/// The objects of a fleet.
#[derive(Clone, Debug, Default)]
pub(super) struct Fleet {
    pub(super) clusters: BTreeMap<String, Cluster>,
    pub(super) models: BTreeMap<ModelKey, ModelDeployment>,
    pub(super) datasets: BTreeMap<Key, DatasetReplica>,
    pub(super) buckets: BTreeMap<Key, Bucket>,
    /// Nodes of members, by Cluster.
    pub(super) nodes: BTreeMap<String, Vec<Node>>,
}

impl Fleet {
    /// Why the operator would refuse a ModelDeployment as it stands.
    pub(super) fn refusal(model: &ModelDeployment) -> Option<String> {
        let fields = model.spec.unsupported_fields();
        if !fields.is_empty() {
            return Some(format!("this version does not act on {}", fields.join(", ")));
        }
        if let Err(error) = pod_shape(&model.spec) {
            return Some(error.to_string());
        }
        let reading = metrics(&model.spec.runtime).map(|metrics| Reading::new(&metrics));
        reading.and_then(Result::err).map(|error| format!("spec.runtime.metrics: {error}"))
    }

    /// The DatasetReplica that a model is in, by its key, whether it is known or not.
    pub(super) fn dataset_key(key: &ModelKey, model: &ModelDeployment) -> Option<Key> {
        let dataset = model.spec.model.dataset_replica.as_ref()?;
        Some((key.namespace.clone(), dataset.name.clone()))
    }
}
