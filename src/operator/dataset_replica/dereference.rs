//! Reads what a DatasetReplica refers to: its Buckets and their Secrets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use skyfleet_api::{Bucket, DatasetReplicaSpec};

use crate::operator::bucket;
use crate::operator::error::ReconcileError;

/// A Bucket with its Secret.
#[derive(Clone, Debug)]
pub(crate) struct BucketWithSecret {
    pub(crate) bucket: Bucket,
    pub(crate) secret: Option<Secret>,
}

/// Buckets by name; one that does not exist is not there.
pub(crate) type Buckets = BTreeMap<String, BucketWithSecret>;

/// The names of all Buckets that a DatasetReplica names, the source's first.
pub(crate) fn bucket_names(spec: &DatasetReplicaSpec) -> impl Iterator<Item = &str> {
    let targets = spec.targets.iter().map(|target| target.bucket_ref.name.as_str());
    std::iter::once(spec.source.bucket_ref.name.as_str()).chain(targets)
}

/// The Buckets that a DatasetReplica names.
pub(crate) async fn buckets(
    hub: &Client,
    namespace: &str,
    spec: &DatasetReplicaSpec,
) -> Result<Buckets, ReconcileError> {
    let api = Api::<Bucket>::namespaced(hub.clone(), namespace);
    let mut buckets = Buckets::new();
    for name in bucket_names(spec) {
        if buckets.contains_key(name) {
            continue;
        }
        let Some(bucket) = api.get_opt(name).await.map_err(ReconcileError::hub("read a Bucket"))? else { continue };
        let secret = bucket::secret(hub, namespace, &bucket.spec).await?;
        buckets.insert(name.to_owned(), BucketWithSecret { bucket, secret });
    }
    Ok(buckets)
}
