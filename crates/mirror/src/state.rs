use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Sha256;

/// What the engine remembers of one verified object of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// Bytes.
    pub size: u64,
    /// The digest of the content, where a manifest names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The source's ETag at the copy.
    pub source_etag: String,
    /// The source's last modification at the copy, in seconds since the Unix epoch.
    pub source_modified: i64,
    /// The target's ETag after the copy was verified.
    pub target_etag: String,
}

/// What the engine remembers of one target: the verified objects by their key. It only ever saves work; without it
/// everything is copied again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// By key, relative to the dataset's prefix.
    pub entries: BTreeMap<String, StateEntry>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    source: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    #[serde(flatten)]
    entry: StateEntry,
}

const VERSION: u32 = 1;

impl State {
    /// Reads the state of a mirror of `source`. State of another source, of another version or damaged is `None`.
    pub(crate) fn parse(bytes: &[u8], source: &str) -> Option<Self> {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let header: Header = serde_json::from_slice(lines.next()?).ok()?;
        if header.version != VERSION || header.source != source {
            return None;
        }
        let entries = lines.map(|line| serde_json::from_slice(line).map(|line: Line| (line.key, line.entry)));
        entries.collect::<Result<_, _>>().ok().map(|entries| Self { entries })
    }

    /// The bytes that [`State::parse`] reads; equal states have equal bytes.
    pub(crate) fn to_bytes(&self, source: &str) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(&Header { version: VERSION, source: source.to_owned() })?;
        bytes.push(b'\n');
        for (key, entry) in &self.entries {
            serde_json::to_writer(&mut bytes, &Line { key: key.clone(), entry: entry.clone() })?;
            bytes.push(b'\n');
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{State, StateEntry};
    use crate::Sha256;

    #[test]
    fn reads_back_only_what_it_wrote_for_this_source() {
        let entry = StateEntry {
            size: 1,
            sha256: Some(Sha256::of(b"x")),
            source_etag: "e".into(),
            source_modified: 7,
            target_etag: "f".into(),
        };
        let state = State { entries: [("a\nb".to_owned(), entry)].into() };
        let bytes = state.to_bytes("here").unwrap();
        assert_eq!(State::parse(&bytes, "here"), Some(state));
        assert_eq!(State::parse(&bytes, "there"), None);
        assert_eq!(State::parse(&bytes[..bytes.len() - 3], "here"), None);
        assert_eq!(State::parse(b"", "here"), None);
    }
}
