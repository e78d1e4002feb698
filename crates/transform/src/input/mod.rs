//! Reads objects as batches of rows.

mod chunks;
mod csv;
mod inference;
mod json_lines;
mod parquet;
mod records;
mod windows;

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;

use crate::dead_letters::DeadLetters;
use crate::{Compression, Format, Piece, Spec, TransformError};
use chunks::Chunks;
use records::Records;

/// An object to be read.
pub enum Source {
    /// From its start to its end: what [`crate::Transform::reads_ranges`] is false of.
    Stream(Box<dyn Read + Send>),
    /// Here and there: Parquet begins at its end.
    Ranges(Arc<dyn RangeSource>),
    /// The same, and only the rows of this piece of it.
    Piece(Arc<dyn RangeSource>, Piece),
}

/// An object of which any part can be read, in one version.
pub trait RangeSource: Send + Sync {
    /// Bytes of the whole object.
    fn size(&self) -> u64;

    /// These bytes, all of them.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes>;
}

/// The rows of an object.
pub(crate) trait Rows {
    /// The columns; `None` of an object without any row that could be read.
    fn schema(&self) -> Option<SchemaRef>;

    /// Some rows more; `None` after the last.
    fn next(&mut self, dead_letters: &mut DeadLetters<'_>) -> Result<Option<RecordBatch>, TransformError>;
}

/// Bytes of rows that are held at once, about.
pub(crate) const BATCH_BYTES: usize = 1024 * 1024;
/// Rows of a batch at most.
pub(crate) const BATCH_ROWS: usize = 8192;

/// Begins to read the rows of an object. Where the first step picks columns, no others need to be read.
pub(crate) fn open(
    source: Source,
    (format, compression): (Format, Compression),
    spec: &Spec,
) -> Result<Box<dyn Rows>, TransformError> {
    match (format, source) {
        (Format::Parquet, Source::Ranges(ranges)) => Ok(Box::new(parquet::open(ranges, Piece::WHOLE, spec)?)),
        (Format::Parquet, Source::Piece(ranges, piece)) => Ok(Box::new(parquet::open(ranges, piece, spec)?)),
        (Format::JsonLines, Source::Stream(bytes)) => {
            let mut chunks = Chunks::new(decompressed(bytes, compression)?, format);
            let lines = json_lines::JsonLines::of(&mut chunks, &spec.types)?;
            Ok(Box::new(Records::new(chunks, lines)))
        }
        (Format::Csv, Source::Stream(bytes)) => {
            let mut chunks = Chunks::new(decompressed(bytes, compression)?, format);
            let table = csv::Csv::of(&mut chunks, &spec.types)?;
            Ok(Box::new(Records::new(chunks, table)))
        }
        (format, _) => Err(TransformError::Internal(format!("{format} is not read in this way"))),
    }
}

/// What is left of bytes when their compression is taken away.
pub(crate) fn decompressed(
    bytes: Box<dyn Read + Send>,
    compression: Compression,
) -> Result<Box<dyn Read + Send>, TransformError> {
    Ok(match compression {
        Compression::None => bytes,
        // Several members one after the other are one file, as gzip(1) has it.
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(bytes).map_err(TransformError::Read)?;
            // 128 MiB, as zstd(1) takes without being asked: what one of `--long=31` would hold in memory is too much.
            decoder.window_log_max(27).map_err(TransformError::Read)?;
            Box::new(decoder)
        }
    })
}
