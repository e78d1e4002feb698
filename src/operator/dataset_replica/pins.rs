//! Which versions of a dataset must stay, since models are served from them, or other DatasetReplicas are made of them.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::core::DeserializeGuard;
use skyfleet_api::{DatasetReplica, ModelDeployment, labels};
use skyfleet_mirror::ManifestDigest;
use skyfleet_plan::revision::Revision;

use super::chain::feeds;
use crate::operator::context::Context;
use crate::operator::error::ReconcileError;

/// The versions that ModelDeployments of the dataset's namespace pin, those that their pods load, those of the revisions that are
/// in use while another is rolled out, and those that other DatasetReplicas read.
pub(super) async fn pinned(
    context: &Context,
    namespace: &str,
    replica: &DatasetReplica,
) -> Result<BTreeSet<ManifestDigest>, ReconcileError> {
    let dataset = &replica.name_any();
    let api = Api::<DeserializeGuard<DatasetReplica>>::namespaced(context.hub.clone(), namespace);
    let all = api.list(&ListParams::default()).await.map_err(ReconcileError::hub("list the DatasetReplicas"))?;
    let readers = all.items.into_iter().filter_map(|reader| reader.0.ok());
    let mut read: BTreeSet<_> = readers.filter_map(|reader| reads(&reader, replica)).collect();
    let api = Api::<DeserializeGuard<ModelDeployment>>::namespaced(context.hub.clone(), namespace);
    let all = api.list(&ListParams::default()).await.map_err(ReconcileError::hub("list the ModelDeployments"))?;
    // One that cannot be decoded is served by nobody.
    let models: Vec<_> = all.items.into_iter().filter_map(|model| model.0.ok()).collect();
    let models: Vec<_> = models.iter().filter(|model| is_of(model, dataset)).collect();
    let mut revisions = Vec::new();
    if models.iter().any(|model| model.spec.rollout.is_some()) {
        let api = Api::<ControllerRevision>::namespaced(context.hub.clone(), namespace);
        let ours = ListParams::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER));
        revisions = api.list(&ours).await.map_err(ReconcileError::hub("list the ControllerRevisions"))?.items;
    }
    read.extend(models.into_iter().flat_map(|model| needed(model, &revisions)));
    Ok(read)
}

/// The version of this dataset that another DatasetReplica reads.
fn reads(reader: &DatasetReplica, replica: &DatasetReplica) -> Option<ManifestDigest> {
    let digest = reader.spec.source.digest.as_ref().filter(|_| feeds(replica, reader))?;
    digest.parse().ok()
}

fn is_of(model: &ModelDeployment, dataset: &str) -> bool {
    model.spec.model.dataset_replica.as_ref().is_some_and(|of| of.name == dataset)
}

/// The versions that one of them needs.
fn needed(model: &ModelDeployment, revisions: &[ControllerRevision]) -> Vec<ManifestDigest> {
    let pinned = model.spec.model.dataset_replica.as_ref().and_then(|of| of.digest.clone());
    let names = in_use(model);
    let is_used = |revision: &&ControllerRevision| {
        let label = |name: &str| revision.labels().get(name).map(String::as_str);
        label(labels::MODEL_DEPLOYMENT) == model.metadata.name.as_deref()
            && label(labels::REVISION).is_some_and(|name| names.contains(name))
    };
    let digest = |revision: &ControllerRevision| {
        serde_json::from_value::<Revision>(revision.data.as_ref()?.0.clone()).ok()?.digest
    };
    let used = revisions.iter().filter(is_used).filter_map(digest);
    let placements = model.status.iter().flat_map(|status| &status.placements);
    let loaded = placements.filter_map(|placement| placement.model_digest.clone());
    // What is no digest names no version.
    pinned.into_iter().chain(loaded).chain(used).filter_map(|digest| digest.parse().ok()).collect()
}

/// The names of the revisions that clusters run, or may be taken back to.
fn in_use(model: &ModelDeployment) -> BTreeSet<&str> {
    let Some(status) = &model.status else { return BTreeSet::new() };
    let rollout = status.rollout.iter();
    let rollout = rollout.flat_map(|rollout| {
        rollout.stable_revision.iter().chain(std::iter::once(&rollout.target_revision)).map(String::as_str)
    });
    let placed = status.placements.iter().filter_map(|placement| placement.revision.as_deref());
    rollout.chain(placed).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skyfleet_mirror::Sha256;

    use super::*;

    fn digest(version: &str) -> ManifestDigest {
        ManifestDigest(Sha256::of(version.as_bytes()))
    }

    fn model(pinned: Option<&str>) -> ModelDeployment {
        let mut model = json!({
            "metadata": {"name": "m", "namespace": "ml"},
            "spec": {"model": {"name": "m", "datasetReplica": {"name": "weights"}}, "runtime": {"image": "i", "port": 80}},
        });
        if let Some(pinned) = pinned {
            model["spec"]["model"]["datasetReplica"]["digest"] = json!(digest(pinned));
        }
        serde_json::from_value(model).expect("a ModelDeployment")
    }

    fn revision(of: &str, name: &str, version: &str) -> ControllerRevision {
        let content = Revision::of(&model(None).spec, Some(digest(version).to_string()));
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {(labels::MODEL_DEPLOYMENT): of, (labels::REVISION): name}},
            "revision": 1, "data": content,
        }))
        .expect("a ControllerRevision")
    }

    #[test]
    fn what_another_dataset_is_made_of_must_stay() {
        let replica = |source: serde_json::Value, target: &str| -> DatasetReplica {
            let targets = [json!({"bucketRef": {"name": "b"}, "prefix": target})];
            serde_json::from_value(json!({
                "apiVersion": "skyfleet.dev/v1alpha1", "kind": "DatasetReplica", "metadata": {"name": "r"},
                "spec": {"source": source, "targets": targets},
            }))
            .expect("a DatasetReplica")
        };
        let raw = replica(json!({"bucketRef": {"name": "a"}}), "raw/");
        let reader = |prefix: &str, digest: serde_json::Value| {
            replica(json!({"bucketRef": {"name": "b"}, "prefix": prefix, "digest": digest}), "clean/")
        };
        assert_eq!(reads(&reader("raw/2026/", json!(digest("one"))), &raw), Some(digest("one")));
        assert_eq!(reads(&reader("raw/", json!(null)), &raw), None, "it follows the newest");
        assert_eq!(reads(&reader("other/", json!(digest("one"))), &raw), None);
    }

    #[test]
    fn what_is_pinned_or_in_use_must_stay() {
        assert!(is_of(&model(None), "weights") && !is_of(&model(None), "other"));
        let revisions = [
            revision("m", "stable", "one"),
            revision("m", "target", "two"),
            revision("m", "placed", "three"),
            revision("m", "unused", "four"),
            revision("another", "stable", "five"),
        ];
        assert_eq!(needed(&model(None), &revisions), []);
        assert_eq!(needed(&model(Some("zero")), &revisions), [digest("zero")]);
        let status = json!({
            "rollout": {"phase": "Progressing", "targetRevision": "target", "stableRevision": "stable"},
            "placements": [{"cluster": "c", "desired": 1, "revision": "placed", "modelDigest": digest("loaded")}],
        });
        let status = Some(serde_json::from_value(status).expect("a status"));
        let rolling = ModelDeployment { status, ..model(None) };
        assert_eq!(needed(&rolling, &revisions), ["loaded", "one", "two", "three"].map(digest));
    }
}
