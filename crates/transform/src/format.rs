//! Formats of rows, compression, and how keys tell both.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How rows lie in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// A JSON object a line (<https://jsonlines.org>).
    JsonLines,
    /// Comma-separated values with a header (RFC 4180).
    Csv,
    /// Apache Parquet.
    Parquet,
}

impl Format {
    /// The endings of keys that tell it, the usual one first.
    pub(crate) fn endings(self) -> &'static [&'static str] {
        match self {
            Self::JsonLines => &[".jsonl", ".ndjson"],
            Self::Csv => &[".csv"],
            Self::Parquet => &[".parquet"],
        }
    }

    pub(crate) const ALL: [Self; 3] = [Self::JsonLines, Self::Csv, Self::Parquet];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JsonLines => "JSON Lines",
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
        })
    }
}

/// How bytes are made fewer: around an object of text, and of the pages within Parquet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compression {
    /// The ending of keys that tells it.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// Parts a key from the ending that tells its compression.
    pub(crate) fn of_key(key: &str) -> (&str, Self) {
        let told = [Self::Gzip, Self::Zstd].into_iter().find_map(|compression| {
            let rest = key.strip_suffix(compression.ending())?;
            (!rest.is_empty()).then_some((rest, compression))
        });
        told.unwrap_or((key, Self::None))
    }
}
