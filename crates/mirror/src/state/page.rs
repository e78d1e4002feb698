//! Some objects in the order of their keys: pure.

use serde::{Deserialize, Serialize};
use skyfleet_transform::{Outcome, Piece};

use crate::Sha256;

/// What is remembered of one object that was proven at a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateEntry {
    /// Bytes.
    pub(crate) size: u64,
    /// The digest of the content, where a manifest names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<Sha256>,
    /// The source's ETag at the copy.
    pub(crate) source_etag: String,
    /// The source's last modification at the copy, in seconds since the Unix epoch.
    pub(crate) source_modified: i64,
    /// The target's ETag after the copy was proven.
    pub(crate) target_etag: String,
    /// Of what it was made, where it is no copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) made: Option<Box<Made>>,
}

/// How an object was made of one of the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// What names the transform, or the way of cutting.
    pub(crate) by: String,
    /// The source's object.
    pub(crate) source_key: String,
    /// Which piece of that it was made of, where not of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) piece: Option<Piece>,
    /// Its bytes; of a piece, the share of them.
    pub(crate) source_size: u64,
    /// The digest of its content, where all of it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source_sha256: Option<Sha256>,
    /// When the target says that it was written, in seconds since the Unix epoch.
    pub(crate) at: i64,
    /// What became of its rows.
    pub(crate) rows: Outcome,
}

/// A key, relative to the dataset's prefix, and what is remembered of its object.
pub(crate) type Record = (String, StateEntry);

/// The bytes of a page: JSON Lines. Equal records have equal bytes.
pub(super) fn to_bytes<'a>(records: impl Iterator<Item = (&'a str, &'a StateEntry)>) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for record in records {
        serde_json::to_writer(&mut bytes, &record)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Reads the bytes of a page; `None` when they are damaged.
pub(super) fn parse(bytes: &[u8]) -> Option<Vec<Record>> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let records: Vec<Record> = lines.map(serde_json::from_slice).collect::<Result<_, _>>().ok()?;
    records.is_sorted_by(|one, other| one.0 < other.0).then_some(records)
}

/// What a page is called: equal pages have equal names, and a page that was damaged does not have its name any more.
pub(super) fn name_of(bytes: &[u8]) -> String {
    let mut digits = Sha256::of(bytes).to_string();
    digits.truncate(32);
    digits
}

#[cfg(test)]
mod tests {
    use super::{StateEntry, name_of, parse, to_bytes};
    use crate::Sha256;

    #[test]
    fn a_page_reads_back_what_it_wrote_and_nothing_else() {
        let entry = |sha256| StateEntry {
            size: 1,
            sha256,
            source_etag: "e".into(),
            source_modified: 7,
            target_etag: "f".into(),
            made: None,
        };
        let records = [("a\nb".to_owned(), entry(Some(Sha256::of(b"x")))), ("é".to_owned(), entry(None))];
        let bytes = to_bytes(records.iter().map(|(key, entry)| (key.as_str(), entry))).unwrap();
        assert_eq!(parse(&bytes).unwrap(), records);
        assert_eq!(parse(b"").unwrap(), []);
        assert_eq!(parse(&bytes[..bytes.len() - 3]), None, "cut short");
        assert_eq!(parse(&bytes.repeat(2)), None, "out of order");
        assert!(name_of(&bytes) != name_of(&bytes[1..]) && name_of(&bytes).len() == 32);
    }
}
