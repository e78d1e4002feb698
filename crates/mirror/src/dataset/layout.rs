//! Where Skyfleet keeps its own objects in a bucket.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{ManifestDigest, Sha256};

/// Keys below it, at any depth, belong to Skyfleet: never mirrored, never part of a manifest.
pub const RESERVED_PREFIX: &str = ".skyfleet/";

/// How many manifests and shard indexes of a dataset stay in a bucket: pods may still load by an older one. What is told of where a
/// version came from stays as long as its manifest.
pub(crate) const KEPT_MANIFESTS: usize = 5;

/// The name of a dataset: `<namespace>.<name>` of its `DatasetReplica`. A namespace has no dot, so the first one parts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetName {
    namespace: String,
    name: String,
}

/// Not the name of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a dataset: expected NAMESPACE.NAME of a DatasetReplica")]
pub struct InvalidDatasetName(String);

impl DatasetName {
    /// The dataset of a `DatasetReplica`.
    ///
    /// # Errors
    /// When a part is empty or has characters that Kubernetes names cannot have.
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidDatasetName> {
        let label = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if label(namespace) && name.split('.').all(label) {
            Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
        } else {
            Err(InvalidDatasetName(format!("{namespace}.{name}")))
        }
    }

    pub(crate) fn folder(&self) -> String {
        format!("{RESERVED_PREFIX}manifests/{self}/")
    }

    pub(crate) fn provenance_folder(&self) -> String {
        format!("{RESERVED_PREFIX}provenance/{self}/")
    }

    pub(crate) fn shards_folder(&self) -> String {
        format!("{RESERVED_PREFIX}shards/{self}/")
    }

    pub(crate) fn kept_folder(&self) -> String {
        format!("{RESERVED_PREFIX}objects/{self}/")
    }

    /// What workers and who has them work tell each other.
    pub(crate) fn work_folder(&self) -> String {
        format!("{RESERVED_PREFIX}work/{self}/")
    }

    pub(crate) fn proofs_folder(&self, work: &str) -> String {
        format!("{}{work}/proofs/", self.work_folder())
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

impl FromStr for DatasetName {
    type Err = InvalidDatasetName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, name) = text.split_once('.').ok_or_else(|| InvalidDatasetName(text.to_owned()))?;
        Self::new(namespace, name)
    }
}

impl Serialize for DatasetName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatasetName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The key of a manifest, relative to the Bucket's prefix.
#[must_use]
pub fn manifest_key(dataset: &DatasetName, digest: ManifestDigest) -> String {
    format!("{}{}.jsonl", dataset.folder(), digest.0)
}

/// The key of what is told of where a version of a dataset came from, relative to the Bucket's prefix.
#[must_use]
pub fn provenance_key(dataset: &DatasetName, digest: ManifestDigest) -> String {
    format!("{}{}.jsonl", dataset.provenance_folder(), digest.0)
}

/// The key of a shard index, relative to the Bucket's prefix.
#[must_use]
pub fn shard_index_key(dataset: &DatasetName, digest: ManifestDigest) -> String {
    format!("{}{}.json", dataset.shards_folder(), digest.0)
}

/// The key of a content that was put away before it was overwritten or removed, relative to the Bucket's prefix: older versions of
/// the dataset that name it are read from there.
#[must_use]
pub fn kept_key(dataset: &DatasetName, sha256: Sha256) -> String {
    format!("{}{sha256}", dataset.kept_folder())
}

/// The content that the key of a kept object names.
pub(crate) fn content_of_key(dataset: &DatasetName, key: &str) -> Option<Sha256> {
    key.strip_prefix(&dataset.kept_folder())?.parse().ok()
}

/// Where records lie that could not be transformed into a part of the object with this key, both relative to the store's prefix.
pub(crate) fn dead_letters_key(dataset: Option<&DatasetName>, key: &str) -> String {
    let dataset = dataset.map(|dataset| format!("{dataset}/")).unwrap_or_default();
    format!("{RESERVED_PREFIX}dead-letters/{dataset}{key}.jsonl")
}

/// The digest that the key of a manifest names.
pub(crate) fn manifest_of_key(dataset: &DatasetName, key: &str) -> Option<ManifestDigest> {
    digest_of_key(&dataset.folder(), key)
}

/// The digest of the manifest beside which a document with this key lies that tells where it came from.
pub(crate) fn provenance_of_key(dataset: &DatasetName, key: &str) -> Option<ManifestDigest> {
    digest_of_key(&dataset.provenance_folder(), key)
}

fn digest_of_key(folder: &str, key: &str) -> Option<ManifestDigest> {
    key.strip_prefix(folder)?.strip_suffix(".jsonl")?.parse().ok().map(ManifestDigest)
}

/// Whether a key belongs to Skyfleet, and is not mirrored. At any depth: a Bucket with a prefix may lie inside a Bucket without one.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    key.starts_with(RESERVED_PREFIX) || key.contains("/.skyfleet/")
}

#[cfg(test)]
mod tests {
    use super::{
        DatasetName, content_of_key, is_reserved, kept_key, manifest_key, manifest_of_key, provenance_key,
        provenance_of_key,
    };
    use crate::{ManifestDigest, Sha256};

    #[test]
    fn dataset_names_are_those_of_kubernetes() {
        assert_eq!("ml.weights.v2".parse::<DatasetName>().map(|d| d.to_string()), Ok("ml.weights.v2".to_owned()));
        for wrong in ["", "ml", "ml.", ".x", "ml.a/b", "ML.x", "ml..x", "../ml.x"] {
            assert!(wrong.parse::<DatasetName>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_manifest_key_names_its_digest() {
        let dataset = DatasetName::new("ml", "weights").unwrap();
        let digest = ManifestDigest(Sha256::of(b""));
        let key = manifest_key(&dataset, digest);
        assert_eq!(key, format!(".skyfleet/manifests/ml.weights/{}.jsonl", digest.0));
        assert_eq!(manifest_of_key(&dataset, &key), Some(digest));
        assert_eq!(manifest_of_key(&dataset, &format!("{}other.jsonl", dataset.folder())), None);
        let beside = provenance_key(&dataset, digest);
        assert_eq!(beside, format!(".skyfleet/provenance/ml.weights/{}.jsonl", digest.0));
        assert_eq!((provenance_of_key(&dataset, &beside), provenance_of_key(&dataset, &key)), (Some(digest), None));
        let kept = kept_key(&dataset, digest.0);
        assert_eq!(kept, format!(".skyfleet/objects/ml.weights/{}", digest.0));
        assert_eq!((content_of_key(&dataset, &kept), content_of_key(&dataset, &key)), (Some(digest.0), None));
    }

    #[test]
    fn reserved_keys_are_found_at_any_depth() {
        assert!(is_reserved(".skyfleet/probe") && is_reserved("team/.skyfleet/manifests/x"));
        assert!(!is_reserved("skyfleet/x") && !is_reserved("a.skyfleet/x") && !is_reserved(".skyfleet"));
    }
}
