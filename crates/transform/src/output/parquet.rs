//! Apache Parquet.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::RowWriter;
use crate::{Compression, TransformError};

/// A row group is held until it is whole, and written once it has about so many bytes: enough for a reader to skip by, and for two
/// writers in a pod of 256 MiB.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;
/// Rows of a row group at most, as most readers expect.
const ROW_GROUP_ROWS: usize = 1024 * 1024;

pub(super) struct Parquet<'a> {
    writer: ArrowWriter<&'a mut (dyn Write + Send)>,
}

impl<'a> Parquet<'a> {
    pub(super) fn new(
        out: &'a mut (dyn Write + Send),
        compression: Compression,
        schema: &SchemaRef,
    ) -> Result<Self, TransformError> {
        let codec = match compression {
            Compression::None => Codec::UNCOMPRESSED,
            Compression::Gzip => Codec::GZIP(GzipLevel::default()),
            // Within a table, a higher level takes more time and little less room.
            Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
        };
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by("skyfleet".to_owned())
            .build();
        Ok(Self { writer: ArrowWriter::try_new(out, schema.clone(), Some(properties))? })
    }
}

impl RowWriter for Parquet<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), TransformError> {
        self.writer.write(batch)?;
        if self.writer.memory_size() >= ROW_GROUP_BYTES {
            self.writer.flush()?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), TransformError> {
        self.writer.close().map(drop).map_err(TransformError::from)
    }
}
