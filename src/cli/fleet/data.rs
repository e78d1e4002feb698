//! Which clusters a model's data lies near.

use skyfleet_api::{Cluster, DatasetReplica, ModelDeployment};
use skyfleet_plan::capacity::ModelKey;
use skyfleet_plan::placement::Data;

use kube::ResourceExt;

use super::Fleet;

impl Fleet {
    /// A model's data as far as a cluster is concerned. A dataset that nothing is told of bounds nothing.
    pub(super) fn data(&self, key: &ModelKey, model: &ModelDeployment, cluster: &Cluster) -> Data {
        let Some(dataset) = Self::dataset_key(key, model).and_then(|key| self.datasets.get(&key)) else {
            return Data::NotNeeded;
        };
        let near = bucket_names(dataset).any(|bucket| self.is_near(&key.namespace, bucket, cluster));
        if near { Data::Near } else { Data::NoBucketNear }
    }

    /// The Buckets of a model's dataset that nothing is told of.
    pub(in crate::cli) fn missing_buckets(&self, key: &ModelKey, model: &ModelDeployment) -> Vec<&str> {
        let dataset = Self::dataset_key(key, model).and_then(|key| self.datasets.get(&key));
        let missing = |bucket: &&str| !self.buckets.contains_key(&(key.namespace.clone(), (*bucket).to_owned()));
        dataset.into_iter().flat_map(bucket_names).filter(missing).collect()
    }

    fn is_near(&self, namespace: &str, bucket: &str, cluster: &Cluster) -> bool {
        let bucket = self.buckets.get(&(namespace.to_owned(), bucket.to_owned()));
        let near = bucket.and_then(|bucket| bucket.spec.near.as_ref());
        near.is_some_and(|near| near.covers(&cluster.name_any(), &cluster.spec.region))
    }
}

/// The Buckets that hold a dataset or shall: its source's and its targets'.
fn bucket_names(dataset: &DatasetReplica) -> impl Iterator<Item = &str> {
    let targets = dataset.spec.targets.iter().map(|target| target.bucket_ref.name.as_str());
    std::iter::once(dataset.spec.source.bucket_ref.name.as_str()).chain(targets)
}
