//! What can go wrong.

use std::io;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use crate::Format;

/// A transform that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTransform {
    /// It says nothing.
    #[error("the transform changes nothing: give steps, an output format or an output compression")]
    Nothing,
    /// A step without what it is about.
    #[error("step {step} ({name}) names no columns: say which")]
    NoColumns {
        /// From 1.
        step: usize,
        /// What it is.
        name: &'static str,
    },
    /// A column that would be there twice.
    #[error("step {step} (Select) names column {column:?} twice")]
    Twice {
        /// From 1.
        step: usize,
        /// The column.
        column: String,
    },
    /// A condition with the wrong number of values.
    #[error("step {step}: {operator} on column {column:?} takes {expected}, not {given}")]
    Values {
        /// From 1.
        step: usize,
        /// The column.
        column: String,
        /// The operator.
        operator: String,
        /// What it takes.
        expected: &'static str,
        /// How many there are.
        given: usize,
    },
    /// What is to be matched is no regular expression.
    #[error("step {step}: {pattern:?} is not a regular expression: {reason}")]
    Pattern {
        /// From 1.
        step: usize,
        /// What was given.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// A key that can be guessed.
    #[error("step {step}: the key of a mask needs at least 16 bytes, and has {bytes}: values could be guessed")]
    ShortKey {
        /// From 1.
        step: usize,
        /// Its length.
        bytes: usize,
    },
}

/// Why an object could not be transformed. Nothing of what was written of it counts.
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// Its bytes could not be read, or those of its compression are damaged.
    #[error("cannot read it: {0}")]
    Read(#[source] io::Error),
    /// What it became could not be written.
    #[error("cannot write what it became: {0}")]
    Write(#[source] io::Error),
    /// Its key does not say what it holds.
    #[error(
        "{0:?} does not end in .jsonl, .ndjson, .csv or .parquet (and .gz or .zst), so that its format is not known: give \
         the input's format, or leave the object out by a filter"
    )]
    UnknownFormat(String),
    /// It is not what it should be.
    #[error("it is no {format} that can be read: {reason}")]
    Malformed {
        /// What it should be.
        format: Format,
        /// What is wrong.
        reason: String,
    },
    /// A record is too large to be held.
    #[error("record {record} has more than {most} bytes: a quote may not be closed, or it is no {format}")]
    RecordTooLarge {
        /// What it should be.
        format: Format,
        /// From 1.
        record: u64,
        /// The most bytes.
        most: usize,
    },
    /// Its columns are not what a step or the output needs.
    #[error("{0}")]
    Columns(String),
    /// Too many rows became dead letters.
    #[error("{rejected} of the first {read} rows do not fit their columns; {reason}")]
    TooManyRejected {
        /// Rows that became dead letters.
        rejected: u64,
        /// Rows that were read.
        read: u64,
        /// Why the last one was rejected.
        reason: String,
    },
    /// What is too much for memory could not be kept on disk.
    #[error(
        "cannot keep on disk which rows were seen (see that there is a writable directory for temporary files): {0}"
    )]
    Spill(#[source] io::Error),
    /// Something that cannot be.
    #[error("{0}")]
    Internal(String),
}

impl TransformError {
    pub(crate) fn malformed(format: Format, reason: impl Into<String>) -> Self {
        Self::Malformed { format, reason: reason.into() }
    }
}

impl From<ArrowError> for TransformError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => Self::Write(error),
            error => Self::Internal(error.to_string()),
        }
    }
}

impl From<ParquetError> for TransformError {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(error) => match error.downcast::<io::Error>() {
                Ok(error) => Self::Write(*error),
                Err(error) => Self::Internal(error.to_string()),
            },
            error => Self::Internal(error.to_string()),
        }
    }
}
