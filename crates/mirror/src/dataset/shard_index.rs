use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::{ManifestDigest, Sha256, ShardBy};

/// Where the parts of a dataset are that is split over several buckets: one document beside each part's manifest, the same
/// everywhere. Its canonical bytes are JSON without spaces, with the fields in the order given here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShardIndex {
    /// What decided where an object went.
    pub by: ShardBy,
    /// What the size of pieces was to be, in bytes of the source's objects, where those with rows were cut between them. Their keys say
    /// which piece of how many they are: `train-00003-of-00016.jsonl` is one of `train.jsonl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece_size: Option<NonZeroU64>,
    /// The parts, in the order of the targets.
    pub shards: Vec<ShardEntry>,
}

/// One part of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShardEntry {
    /// The name of the shard: for those of a `DatasetReplica`, the target's Bucket and prefix.
    pub name: String,
    /// How much of the whole it was to get, beside the others.
    pub weight: u32,
    /// The manifest of its objects.
    pub manifest: ManifestDigest,
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Bytes that are not a shard index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a shard index: {0}")]
pub struct InvalidShardIndex(String);

impl ShardIndex {
    /// Reads its bytes.
    ///
    /// # Errors
    /// When they are something else.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidShardIndex> {
        serde_json::from_slice(bytes).map_err(|error| InvalidShardIndex(error.to_string()))
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps with keys that are no text are all that JSON cannot hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The digest of the canonical bytes.
    #[must_use]
    pub fn digest(&self) -> ManifestDigest {
        ManifestDigest(Sha256::of(&self.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::{ShardEntry, ShardIndex};
    use crate::{ManifestDigest, Sha256, ShardBy};

    #[test]
    fn its_bytes_stay_as_they_were_released() {
        let manifest = ManifestDigest(Sha256::of(b""));
        let shard = ShardEntry { name: "eu".to_owned(), weight: 2, manifest, objects: 3, bytes: 4 };
        let index = ShardIndex { by: ShardBy::Size, piece_size: None, shards: vec![shard] };
        let text = format!(
            r#"{{"by":"Size","shards":[{{"name":"eu","weight":2,"manifest":"{manifest}","objects":3,"bytes":4}}]}}"#
        );
        assert_eq!(index.to_bytes(), text.as_bytes());
        assert_eq!(ShardIndex::parse(text.as_bytes()), Ok(index.clone()));
        let in_pieces = ShardIndex { piece_size: NonZeroU64::new(7), ..index };
        let text = text.replace(r#","shards""#, r#","pieceSize":7,"shards""#);
        assert_eq!(in_pieces.to_bytes(), text.as_bytes());
        assert_eq!(ShardIndex::parse(text.as_bytes()), Ok(in_pieces));
        assert!(ShardIndex::parse(b"{}").is_err());
    }
}
