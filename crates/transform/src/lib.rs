//! Changes data on its way from one bucket to another: formats, compression, columns, rows.
//!
//! A [`Transform`] is made of a [`Spec`] once, and run over one object at a time by [`Transform::run`]: it reads from a
//! [`Source`], writes to anything that is [`std::io::Write`], and tells what it did in an [`Outcome`]. Rows are held some megabytes
//! at a time as [Arrow](https://arrow.apache.org) batches, whatever the object's size.
//!
//! What it guarantees:
//! - The same bytes, transformed in the same way, give the same bytes.
//! - Each row that was read is written, or was left out by a step that counts it, or is a dead letter that names its reason.
//! - Memory is bounded: see [`Transform::run`].
//!
//! There is no client, no async and no clock here; who runs it brings the bytes.

mod counts;
mod dead_letters;
mod error;
mod format;
mod input;
mod naming;
mod output;
mod pieces;
mod run;
mod spec;
mod steps;
mod types;

pub use counts::{Outcome, StepCount};
pub use error::{InvalidTransform, TransformError};
pub use format::{Compression, Format};
pub use input::{RangeSource, Source};
pub use pieces::{
    CsvCuts, CsvScan, Cuttable, LineCount, NotCut, Piece, PieceName, RecordStart, cut_parquet, header_of_csv,
    join_parquet,
};
pub use run::{RowLimits, Transform};
pub use spec::{Condition, Mask, MaskMethod, Operator, Output, Spec, Step};
pub use types::ColumnType;
