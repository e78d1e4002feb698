use serde::{Deserialize, Serialize};

use crate::{ManifestDigest, Sha256};

/// One object of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestEntry {
    /// The key, relative to the dataset's prefix in its bucket.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// The digest of the content.
    pub sha256: Sha256,
}

impl ManifestEntry {
    /// Adds its line to the canonical bytes.
    pub(crate) fn write_to(&self, bytes: &mut Vec<u8>) {
        // serde_json escapes only what JSON must have escaped, always the same way: that makes the bytes canonical.
        let key = serde_json::Value::from(self.key.as_str());
        let line = format!("{{\"key\":{key},\"size\":{},\"sha256\":\"{}\"}}\n", self.size, self.sha256);
        bytes.extend_from_slice(line.as_bytes());
    }
}

/// The content of a dataset: its objects in the byte order of their keys, each key once.
///
/// Its canonical bytes are JSON Lines: one entry a line, fields in the order `key`, `size`, `sha256`, no spaces. Buckets
/// that hold the same content have the same bytes, hence the same [`ManifestDigest`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<ManifestEntry>,
}

/// Bytes that are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    /// A line is not an entry.
    #[error("line {line} of the manifest is not an entry: {reason}")]
    Line {
        /// From 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// Keys are repeated, or out of order.
    #[error("the manifest's keys are not in strict byte order at {0:?}")]
    Order(String),
}

impl Manifest {
    /// A manifest of these entries, in any order.
    ///
    /// # Errors
    /// When two entries have the same key.
    pub fn new(mut entries: Vec<ManifestEntry>) -> Result<Self, InvalidManifest> {
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        Self::ordered(entries)
    }

    fn ordered(entries: Vec<ManifestEntry>) -> Result<Self, InvalidManifest> {
        match entries.windows(2).find(|pair| pair[0].key >= pair[1].key) {
            Some(pair) => Err(InvalidManifest::Order(pair[1].key.clone())),
            None => Ok(Self { entries }),
        }
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// When a line is not an entry, or the keys are not in strict byte order.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if lines.is_empty() {
            return Ok(Self::default());
        }
        let entry = |(index, line)| {
            serde_json::from_slice(line)
                .map_err(|error| InvalidManifest::Line { line: index + 1, reason: error.to_string() })
        };
        let entries: Result<_, _> = lines.split(|byte| *byte == b'\n').enumerate().map(entry).collect();
        Self::ordered(entries?)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.entries.iter().for_each(|entry| entry.write_to(&mut bytes));
        bytes
    }

    /// The digest of the canonical bytes.
    #[must_use]
    pub fn digest(&self) -> ManifestDigest {
        ManifestDigest(Sha256::of(&self.to_bytes()))
    }

    /// The entries, in the byte order of their keys.
    #[must_use]
    pub fn entries(&self) -> &[ManifestEntry] {
        &self.entries
    }

    /// The bytes of all objects together.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidManifest, Manifest, ManifestEntry};
    use crate::Sha256;
    use proptest::prelude::*;

    fn entry(key: &str) -> ManifestEntry {
        ManifestEntry { key: key.to_owned(), size: key.len() as u64, sha256: Sha256::of(key.as_bytes()) }
    }

    #[test]
    fn the_canonical_bytes_are_pinned() {
        let manifest = Manifest::new(vec![entry("é\n\"/"), entry("a b")]).unwrap();
        let expected = format!(
            "{{\"key\":\"a b\",\"size\":3,\"sha256\":\"{}\"}}\n{{\"key\":\"é\\n\\\"/\",\"size\":5,\"sha256\":\"{}\"}}\n",
            Sha256::of(b"a b"),
            Sha256::of("é\n\"/".as_bytes()),
        );
        assert_eq!(String::from_utf8(manifest.to_bytes()).unwrap(), expected);
    }

    #[test]
    fn an_empty_dataset_has_a_manifest() {
        assert_eq!(Manifest::parse(b""), Ok(Manifest::default()));
        assert_eq!(Manifest::default().digest().0, Sha256::of(b""));
    }

    #[test]
    fn disorder_and_damage_are_refused() {
        assert_eq!(Manifest::new(vec![entry("a"), entry("a")]), Err(InvalidManifest::Order("a".to_owned())));
        let mut bytes = Manifest::new(vec![entry("b")]).unwrap().to_bytes();
        bytes.extend(Manifest::new(vec![entry("a")]).unwrap().to_bytes());
        assert_eq!(Manifest::parse(&bytes), Err(InvalidManifest::Order("a".to_owned())));
        assert!(matches!(Manifest::parse(b"{}\n"), Err(InvalidManifest::Line { line: 1, .. })));
        assert!(matches!(Manifest::parse(b"\n\n"), Err(InvalidManifest::Line { .. })));
    }

    proptest! {
        #[test]
        fn reads_back_what_it_writes_whatever_the_order(keys in prop::collection::hash_set(any::<String>(), 0..20)) {
            let entries: Vec<_> = keys.iter().map(|key| entry(key)).collect();
            let reversed: Vec<_> = entries.iter().rev().cloned().collect();
            let manifest = Manifest::new(entries).unwrap();
            prop_assert_eq!(&Manifest::parse(&manifest.to_bytes()).unwrap(), &manifest);
            prop_assert_eq!(Manifest::new(reversed).unwrap().digest(), manifest.digest());
            let bytes: Vec<_> = manifest.entries().iter().map(|entry| entry.key.as_bytes()).collect();
            prop_assert!(bytes.is_sorted());
        }
    }
}
