//! Where a version of a dataset came from: pure.

use std::num::NonZeroU64;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use skyfleet_transform::{Outcome, Piece};

use crate::{DatasetName, ManifestDigest, Sha256};

/// Where a version of a dataset came from: the first line of the document that lies beside its manifest.
///
/// The document is JSON Lines. Of a dataset that is transformed a [`ProvenanceEntry`] for each object follows, in the byte order of
/// the keys, and of one that is only cut into pieces one for each piece. Of copies none does: the manifest and the source say all there
/// is, and a million lines more would say nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// How the document is written.
    pub format: ProvenanceFormat,
    /// The dataset.
    pub dataset: DatasetName,
    /// The version of it.
    pub manifest: ManifestDigest,
    /// When it was published.
    pub published: Timestamp,
    /// Where it came from.
    pub source: ProvenanceSource,
    /// What was done with the source's objects.
    pub made: HowMade,
    /// Objects.
    pub objects: u64,
    /// The bytes of the source's objects.
    pub bytes_in: u64,
    /// The bytes of the dataset's objects.
    pub bytes_out: u64,
}

/// How a document is written. Another way that old readers would misread gets another name; they leave out fields that are new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProvenanceFormat {
    /// As this is.
    #[serde(rename = "skyfleet.dev/provenance/v1")]
    V1,
}

/// A place in a store, with no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceSource {
    /// The endpoint's URL, or the service's name.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// The prefix in it, byte for byte.
    pub prefix: String,
}

/// What was done with the source's objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HowMade {
    /// Nothing: they are the same bytes.
    Copied,
    /// They went through a transform, all of them or cut into pieces before.
    Transformed(ProvenanceTransform),
    /// Those with rows were cut into pieces between them, and the others are the same bytes.
    Cut(ProvenanceCut),
}

/// How objects were cut, and what came of all of them together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceCut {
    /// What the size of pieces was to be, in bytes of the source's objects.
    pub piece_size: NonZeroU64,
    /// How many there are: each has a line.
    pub pieces: u64,
    /// Their rows.
    pub rows: u64,
}

/// A transform, and what it did with all objects together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceTransform {
    /// What names it: the same for transforms that do the same.
    pub digest: String,
    /// Its steps by name, in their order: that of `rows.steps`.
    pub steps: Vec<String>,
    /// What the size of pieces was to be, in bytes of the source's objects, where those were cut before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece_size: Option<NonZeroU64>,
    /// What became of the rows.
    pub rows: ProvenanceRows,
}

/// What became of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceRows {
    /// Rows that were read, those that were rejected included. Where only the compression changed, no row was looked at.
    pub read: u64,
    /// Rows that could not be transformed.
    pub rejected: u64,
    /// Rows in and out of each step.
    pub steps: Vec<ProvenanceStep>,
    /// Rows that were written.
    pub written: u64,
}

/// Rows in and out of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceStep {
    /// Rows that came to it.
    pub rows_in: u64,
    /// Rows that it let through.
    pub rows_out: u64,
}

/// Where an object came from that was made of one of the source: a further line of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceEntry {
    /// The key, relative to the dataset's prefix.
    pub key: String,
    /// Bytes.
    pub bytes: u64,
    /// The digest of the content.
    pub sha256: Sha256,
    /// Of what it was made.
    pub source: ProvenanceObject,
    /// When the target says that it was written.
    pub made: Timestamp,
    /// What became of the rows.
    pub rows: ProvenanceRows,
}

/// A piece of an object: of 16 pieces the fourth is `{"index":3,"of":16}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenancePiece {
    /// From 0.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

/// An object of the source, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceObject {
    /// The key, relative to the source's prefix.
    pub key: String,
    /// Which piece of it was read, where not all was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub piece: Option<ProvenancePiece>,
    /// Bytes; of a piece, its share of them.
    pub bytes: u64,
    /// What names its version; empty where the store gives nothing.
    pub etag: String,
    /// When it was last modified.
    pub modified: Timestamp,
    /// The digest of the content, where all of it was read. Of Parquet only what is needed is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
}

/// Where a version of a dataset came from, and those of its objects that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenanceDocument {
    /// The version.
    pub version: Provenance,
    /// Objects, in the byte order of their keys; none where they were copied.
    pub objects: Vec<ProvenanceEntry>,
}

/// Bytes that are not the provenance of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProvenance {
    /// The first line does not say of what it is the provenance.
    #[error(
        "the first line of the provenance cannot be read: {0}; a newer Skyfleet may have written it, which can read it, too"
    )]
    Version(String),
    /// A further line is not of an object.
    #[error("line {line} of the provenance is not of an object: {reason}")]
    Line {
        /// From 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// It ends early, or goes on.
    #[error("the provenance has {found} lines of objects and should have {expected}: it is damaged")]
    Objects {
        /// As the first line has it.
        expected: u64,
        /// How many there are.
        found: u64,
    },
}

impl ProvenanceDocument {
    /// Reads a document, and keeps the objects that are asked for.
    ///
    /// # Errors
    /// When the bytes are something else, or not all of it.
    pub fn parse(bytes: &[u8], wanted: impl Fn(&ProvenanceEntry) -> bool) -> Result<Self, InvalidProvenance> {
        let mut lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n');
        let version: Provenance = serde_json::from_slice(lines.next().unwrap_or_default())
            .map_err(|error| InvalidProvenance::Version(error.to_string()))?;
        let (mut objects, mut found) = (Vec::new(), 0);
        for (line, number) in lines.zip(2..) {
            let entry: ProvenanceEntry = serde_json::from_slice(line)
                .map_err(|error| InvalidProvenance::Line { line: number, reason: error.to_string() })?;
            found += 1;
            if wanted(&entry) {
                objects.push(entry);
            }
        }
        match version.lines() {
            expected if expected == found => Ok(Self { version, objects }),
            expected => Err(InvalidProvenance::Objects { expected, found }),
        }
    }
}

impl Provenance {
    /// How many lines of objects follow.
    fn lines(&self) -> u64 {
        match self.made {
            HowMade::Copied => 0,
            HowMade::Transformed(_) => self.objects,
            HowMade::Cut(ProvenanceCut { pieces, .. }) => pieces,
        }
    }
}

impl From<Piece> for ProvenancePiece {
    fn from(Piece { index, of }: Piece) -> Self {
        Self { index, of }
    }
}

impl From<&Outcome> for ProvenanceRows {
    fn from(rows: &Outcome) -> Self {
        let steps = rows.steps.iter();
        Self {
            read: rows.rows_read,
            rejected: rows.rejected,
            steps: steps.map(|step| ProvenanceStep { rows_in: step.rows_in, rows_out: step.rows_out }).collect(),
            written: rows.rows_written,
        }
    }
}

#[cfg(test)]
mod tests {
    use skyfleet_transform::StepCount;

    use super::*;

    fn version(made: HowMade) -> Provenance {
        Provenance {
            format: ProvenanceFormat::V1,
            dataset: DatasetName::new("ml", "clean").unwrap(),
            manifest: ManifestDigest(Sha256::of(b"")),
            published: Timestamp::UNIX_EPOCH,
            source: ProvenanceSource {
                endpoint: "https://s3.example".to_owned(),
                bucket: "raw".to_owned(),
                prefix: "a/".to_owned(),
            },
            made,
            objects: 1,
            bytes_in: 20,
            bytes_out: 10,
        }
    }

    fn rows() -> ProvenanceRows {
        let steps = vec![StepCount { rows_in: 3, rows_out: 2 }];
        (&Outcome { rows_read: 4, rejected: 1, steps, rows_written: 2 }).into()
    }

    fn transformed() -> Provenance {
        let steps = vec!["Filter".to_owned()];
        version(HowMade::Transformed(ProvenanceTransform {
            digest: "ab".to_owned(),
            steps,
            piece_size: None,
            rows: rows(),
        }))
    }

    fn entry() -> ProvenanceEntry {
        ProvenanceEntry {
            key: "x.parquet".to_owned(),
            bytes: 10,
            sha256: Sha256::of(b"x"),
            source: ProvenanceObject {
                key: "x.csv".to_owned(),
                piece: None,
                bytes: 20,
                etag: "e".to_owned(),
                modified: Timestamp::UNIX_EPOCH,
                sha256: None,
            },
            made: Timestamp::from_second(60).unwrap(),
            rows: rows(),
        }
    }

    const ROWS: &str = r#"{"read":4,"rejected":1,"steps":[{"rowsIn":3,"rowsOut":2}],"written":2}"#;

    fn line(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn its_lines_stay_as_they_were_released() {
        let head = |made: &str| {
            let manifest = ManifestDigest(Sha256::of(b""));
            format!(
                r#"{{"format":"skyfleet.dev/provenance/v1","dataset":"ml.clean","manifest":"{manifest}","published":"1970-01-01T00:00:00Z","source":{{"endpoint":"https://s3.example","bucket":"raw","prefix":"a/"}},"made":{made},"objects":1,"bytesIn":20,"bytesOut":10}}"#
            )
        };
        assert_eq!(line(&version(HowMade::Copied)), head(r#""copied""#));
        let transform = format!(r#"{{"transformed":{{"digest":"ab","steps":["Filter"],"rows":{ROWS}}}}}"#);
        assert_eq!(line(&transformed()), head(&transform));
        let sha256 = Sha256::of(b"x");
        let object = format!(
            r#"{{"key":"x.parquet","bytes":10,"sha256":"{sha256}","source":{{"key":"x.csv","bytes":20,"etag":"e","modified":"1970-01-01T00:00:00Z"}},"made":"1970-01-01T00:01:00Z","rows":{ROWS}}}"#
        );
        assert_eq!(line(&entry()), object);
        let cut = ProvenanceCut { piece_size: NonZeroU64::new(7).unwrap(), pieces: 1, rows: 3 };
        assert_eq!(line(&version(HowMade::Cut(cut))), head(r#"{"cut":{"pieceSize":7,"pieces":1,"rows":3}}"#));
        let piece = ProvenanceObject { piece: Some(ProvenancePiece { index: 3, of: 16 }), ..entry().source };
        assert!(line(&piece).starts_with(r#"{"key":"x.csv","piece":{"index":3,"of":16},"bytes":20,"etag":"e""#));
    }

    #[test]
    fn a_document_reads_back_as_far_as_it_is_asked_for() {
        let text = format!("{}\n{}\n", line(&transformed()), line(&entry()));
        let all = ProvenanceDocument { version: transformed(), objects: vec![entry()] };
        assert_eq!(ProvenanceDocument::parse(text.as_bytes(), |_| true), Ok(all));
        assert_eq!(ProvenanceDocument::parse(text.as_bytes(), |_| false).unwrap().objects, []);
        let copied = ProvenanceDocument { version: version(HowMade::Copied), objects: vec![] };
        assert_eq!(ProvenanceDocument::parse(line(&copied.version).as_bytes(), |_| true), Ok(copied));
    }

    #[test]
    fn what_is_none_says_why() {
        let parsed = |text: &str| ProvenanceDocument::parse(text.as_bytes(), |_| true).unwrap_err();
        let head = line(&transformed());
        assert!(matches!(parsed(""), InvalidProvenance::Version(_)));
        let newer = parsed(&head.replace("/v1", "/v2"));
        assert!(newer.to_string().contains("skyfleet.dev/provenance/v2"), "{newer}");
        assert!(matches!(parsed(&format!("{head}\n{{}}\n")), InvalidProvenance::Line { line: 2, .. }));
        assert_eq!(parsed(&head), InvalidProvenance::Objects { expected: 1, found: 0 });
        let more = format!("{head}\n{object}\n{object}\n", object = line(&entry()));
        assert_eq!(parsed(&more), InvalidProvenance::Objects { expected: 1, found: 2 });
    }
}
