//! Reads what a DatasetReplica refers to: its Buckets and who asks for each, and the keys of masks.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use skyfleet_api::dataset_replica::MaskKeyReference;
use skyfleet_api::{Bucket, DatasetReplica, DatasetReplicaSpec};

use super::chain::Feeding;
use crate::operator::bucket::{Asker, asker};
use crate::operator::context::Context;
use crate::operator::error::ReconcileError;

/// A Bucket and who asks for it.
#[derive(Clone, Debug)]
pub(crate) struct BucketWithAsker {
    pub(crate) bucket: Bucket,
    pub(crate) asker: Asker,
}

/// The Secrets with the keys by which masks hash, by name; one that does not exist is not there.
pub(crate) type MaskKeys = BTreeMap<String, Secret>;

/// The Secrets that a DatasetReplica names.
pub(crate) async fn mask_keys(
    context: &Context,
    namespace: &str,
    spec: &DatasetReplicaSpec,
) -> Result<MaskKeys, ReconcileError> {
    let api = Api::<Secret>::namespaced(context.hub.clone(), namespace);
    let mut keys = MaskKeys::new();
    let masks = spec.transform.iter().flat_map(|transform| &transform.steps).filter_map(|step| step.mask.as_ref());
    for MaskKeyReference { name, .. } in masks.filter_map(|mask| mask.key_secret_ref.as_ref()) {
        if let Some(secret) = api.get_opt(name).await.map_err(ReconcileError::hub("read a Secret"))? {
            keys.insert(name.clone(), secret);
        }
    }
    Ok(keys)
}

/// How DatasetReplicas are now: what is known by a watch may be older than what woke the reconcile.
pub(crate) async fn as_they_are_now(
    context: &Context,
    namespace: &str,
    feeding: Vec<Feeding>,
) -> Result<Vec<Feeding>, ReconcileError> {
    let api = Api::<DatasetReplica>::namespaced(context.hub.clone(), namespace);
    let mut now = Vec::with_capacity(feeding.len());
    for (of, targets) in feeding {
        let name = of.metadata.name.as_deref().unwrap_or_default();
        if let Some(of) = api.get_opt(name).await.map_err(ReconcileError::hub("read a DatasetReplica"))? {
            now.push((Arc::new(of), targets));
        }
    }
    Ok(now)
}

/// Buckets by name; one that does not exist is not there.
pub(crate) type Buckets = BTreeMap<String, BucketWithAsker>;

/// The names of all Buckets that a DatasetReplica names, the source's first.
pub(crate) fn bucket_names(spec: &DatasetReplicaSpec) -> impl Iterator<Item = &str> {
    let targets = spec.targets.iter().map(|target| target.bucket_ref.name.as_str());
    std::iter::once(spec.source.bucket_ref.name.as_str()).chain(targets)
}

/// The Buckets that a DatasetReplica names.
pub(crate) async fn buckets(
    context: &Context,
    namespace: &str,
    spec: &DatasetReplicaSpec,
) -> Result<Buckets, ReconcileError> {
    let api = Api::<Bucket>::namespaced(context.hub.clone(), namespace);
    let mut buckets = Buckets::new();
    for name in bucket_names(spec) {
        if buckets.contains_key(name) {
            continue;
        }
        let Some(bucket) = api.get_opt(name).await.map_err(ReconcileError::hub("read a Bucket"))? else { continue };
        let asker = asker(context, namespace, &bucket.spec).await?;
        buckets.insert(name.to_owned(), BucketWithAsker { bucket, asker });
    }
    Ok(buckets)
}
