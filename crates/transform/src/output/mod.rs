//! Writes rows.

mod parquet;
mod text;

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use crate::{Compression, Format, TransformError};

/// Where rows go.
pub(crate) trait RowWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), TransformError>;

    /// Writes what is left.
    fn finish(self: Box<Self>) -> Result<(), TransformError>;
}

/// Begins to write rows of these columns.
pub(crate) fn open<'a>(
    out: &'a mut (dyn Write + Send),
    (format, compression): (Format, Compression),
    schema: &SchemaRef,
) -> Result<Box<dyn RowWriter + 'a>, TransformError> {
    match format {
        Format::Parquet => Ok(Box::new(parquet::Parquet::new(out, compression, schema)?)),
        Format::JsonLines => Ok(Box::new(text::JsonLines::new(Compressor::new(out, compression)?))),
        Format::Csv => Ok(Box::new(text::Csv::new(Compressor::new(out, compression)?, schema)?)),
    }
}

/// Level 3 of Zstandard, its own default, and 6 of gzip, its own.
const ZSTD_LEVEL: i32 = 3;

/// Bytes on their way through a compression.
pub(crate) enum Compressor<'a> {
    Plain(&'a mut (dyn Write + Send)),
    Gzip(flate2::write::GzEncoder<&'a mut (dyn Write + Send)>),
    Zstd(zstd::Encoder<'static, &'a mut (dyn Write + Send)>),
}

impl<'a> Compressor<'a> {
    pub(crate) fn new(out: &'a mut (dyn Write + Send), compression: Compression) -> Result<Self, TransformError> {
        Ok(match compression {
            Compression::None => Self::Plain(out),
            // Its header has no time in it: the same bytes are to give the same bytes.
            Compression::Gzip => Self::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::default())),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL).map_err(TransformError::Write)?;
                encoder.include_checksum(true).map_err(TransformError::Write)?;
                Self::Zstd(encoder)
            }
        })
    }

    pub(crate) fn finish(self) -> Result<(), TransformError> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(encoder) => encoder.finish().map(drop).map_err(TransformError::Write),
            Self::Zstd(encoder) => encoder.finish().map(drop).map_err(TransformError::Write),
        }
    }
}

impl Write for Compressor<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}
