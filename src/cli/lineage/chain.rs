//! What a lineage is made of, and how it goes on upstream: pure.

use std::collections::BTreeSet;

use serde::Serialize;
use skyfleet_api::{DatasetReplica, DatasetReplicaSpec};
use skyfleet_mirror::{HowMade, Provenance, ProvenanceDocument, ProvenanceEntry};

/// From a dataset upstream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Lineage {
    /// The dataset that was asked for, that of which it was made, and so on.
    pub(super) datasets: Vec<Link>,
    pub(super) end: End,
}

/// One dataset.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Link {
    /// `NAMESPACE/NAME` of the DatasetReplica.
    pub(super) dataset_replica: String,
    /// Where the version lies that this is about.
    pub(super) target: Place,
    pub(super) version: Provenance,
    /// Those that were asked for.
    pub(super) objects: Vec<ProvenanceEntry>,
}

/// A Bucket, and the prefix within it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) prefix: String,
}

/// Why it goes no further upstream.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum End {
    /// No DatasetReplica writes to the source.
    Source,
    /// The DatasetReplica that does has been told of already.
    Cycle(String),
    /// Nothing is known of the DatasetReplica that does.
    Unknown { dataset_replica: String, reason: String },
}

/// Which objects are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    /// The one with this key, or made of it.
    One(String),
    /// Those with these keys.
    Of(BTreeSet<String>),
}

impl Wanted {
    pub(super) fn takes(&self, object: &ProvenanceEntry) -> bool {
        match self {
            Self::All => true,
            Self::One(key) => object.key == *key || object.source.key == *key,
            Self::Of(keys) => keys.contains(&object.key),
        }
    }

    /// The same objects, as they are called where these were read from: `below` is what lies between the prefixes.
    pub(super) fn upstream(self, document: &ProvenanceDocument, below: &str) -> Self {
        let keys = match (self, &document.version.made) {
            (Self::All, _) => return Self::All,
            (Self::One(key), HowMade::Copied) => BTreeSet::from([key]),
            (Self::Of(keys), HowMade::Copied) => keys,
            // What was not cut was copied.
            (Self::One(key), HowMade::Cut(_)) if document.objects.is_empty() => BTreeSet::from([key]),
            (_, HowMade::Transformed(_)) | (Self::One(_), HowMade::Cut(_)) => sources(document).collect(),
            (Self::Of(mut keys), HowMade::Cut(_)) => {
                document.objects.iter().for_each(|object| _ = keys.remove(&object.key));
                keys.extend(sources(document));
                keys
            }
        };
        Self::Of(keys.into_iter().map(|key| format!("{below}{key}")).collect())
    }
}

/// Of what the objects were made that are told of.
fn sources(document: &ProvenanceDocument) -> impl Iterator<Item = String> {
    document.objects.iter().map(|object| object.source.key.clone())
}

/// The first place with a verified version, and its digest.
pub(super) fn verified(replica: &DatasetReplica) -> Option<(Place, &str)> {
    replica.status.as_ref()?.targets.iter().find_map(|target| {
        let place = Place { bucket: target.bucket.clone(), prefix: target.prefix.clone() };
        Some((place, target.manifest_digest.as_deref()?))
    })
}

/// The version of what another writes that a DatasetReplica reads and no other, and where that lies.
pub(super) fn pinned<'a>(spec: &'a DatasetReplicaSpec, below: &str) -> Option<(Place, &'a str)> {
    let source = &spec.source;
    let prefix = source.prefix.strip_suffix(below).unwrap_or(&source.prefix).to_owned();
    Some((Place { bucket: source.bucket_ref.name.clone(), prefix }, source.digest.as_deref()?))
}

/// The DatasetReplica with a target in which the source of another lies, the nearest around it; and what lies between their prefixes.
pub(super) fn upstream_of<'a, 'b>(
    spec: &'b DatasetReplicaSpec,
    all: &'a [DatasetReplica],
) -> Option<(&'a DatasetReplica, &'b str)> {
    let source = &spec.source;
    let around = all.iter().flat_map(|replica| replica.spec.targets.iter().map(move |target| (replica, target)));
    let around = around.filter(|(_, target)| target.bucket_ref == source.bucket_ref);
    let below = around.filter_map(|(replica, target)| Some((replica, source.prefix.strip_prefix(&target.prefix)?)));
    below.min_by_key(|(_, below)| below.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn replica(name: &str, (from, prefix): (&str, &str), to: &str) -> DatasetReplica {
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "DatasetReplica", "metadata": {"name": name},
            "spec": {"source": {"bucketRef": {"name": from}, "prefix": prefix},
                "targets": [{"bucketRef": {"name": "elsewhere"}}, {"bucketRef": {"name": to}, "prefix": "w/"}]},
        }))
        .unwrap()
    }

    #[test]
    fn upstream_is_who_writes_where_the_source_lies() {
        let all = [replica("raw", ("a", ""), "b"), replica("clean", ("b", "w/"), "c")];
        let upstream = |source| {
            let spec = replica("x", source, "d").spec;
            upstream_of(&spec, &all).map(|(of, below)| (of.metadata.name.clone().unwrap(), below.to_owned()))
        };
        let found = |name: &str, below: &str| Some((name.to_owned(), below.to_owned()));
        assert_eq!(upstream(("b", "w/")), found("raw", ""));
        assert_eq!(upstream(("b", "w/x/")), found("raw", "x/"), "it lies within");
        assert_eq!(upstream(("c", "w/")), found("clean", ""));
        for source in [("b", ""), ("a", "w/")] {
            assert_eq!(upstream(source), None, "{source:?}");
        }
    }

    #[test]
    fn the_first_target_that_was_verified_is_told_of() {
        let mut replica = replica("raw", ("a", ""), "b");
        assert_eq!(verified(&replica), None);
        let status = json!({"targets": [{"bucket": "elsewhere"}, {"bucket": "b", "prefix": "w/", "manifestDigest": "sha256:1"}]});
        replica.status = serde_json::from_value(status).unwrap();
        let place = Place { bucket: "b".to_owned(), prefix: "w/".to_owned() };
        assert_eq!(verified(&replica), Some((place, "sha256:1")));
    }
}
