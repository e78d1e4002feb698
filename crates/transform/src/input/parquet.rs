//! Apache Parquet.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::windows::{Windows, plan};
use super::{BATCH_BYTES, BATCH_ROWS, RangeSource, Rows};
use crate::dead_letters::DeadLetters;
use crate::{Format, Spec, Step, TransformError};

pub(super) struct Parquet {
    schema: SchemaRef,
    reader: ParquetRecordBatchReader,
}

/// Begins to read one. Of what a first step throws away, nothing is read.
pub(super) fn open(source: Arc<dyn RangeSource>, spec: &Spec) -> Result<Parquet, TransformError> {
    let unreadable = |error: &dyn ToString| TransformError::malformed(Format::Parquet, error.to_string());
    let footer = Windows::new(source.clone(), Vec::new());
    let metadata = ArrowReaderMetadata::load(&footer, ArrowReaderOptions::new()).map_err(|error| unreadable(&error))?;
    let wanted = wanted(metadata.schema(), spec)?;
    let file = metadata.metadata();
    let mask = ProjectionMask::roots(metadata.parquet_schema(), wanted);
    let mut runs = Vec::new();
    let (mut bytes, mut rows) = (0_i64, 0_i64);
    for (number, group) in file.row_groups().iter().enumerate() {
        let columns = group.columns().iter().enumerate().filter(|(index, _)| mask.leaf_included(*index));
        let ranges = columns.map(|(_, column)| {
            bytes += column.uncompressed_size();
            let (start, length) = column.byte_range();
            start..start + length
        });
        runs.extend(plan(number, ranges.collect()));
        rows += group.num_rows();
    }
    let row = usize::try_from(bytes / rows.max(1)).unwrap_or(usize::MAX).max(1);
    let windows = Windows::new(source, runs);
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(windows, metadata);
    // Columns are decoded to some more bytes than they take in pages.
    let batch = (4 * BATCH_BYTES / row).clamp(1, BATCH_ROWS);
    let reader = builder.with_projection(mask).with_batch_size(batch).build().map_err(|error| unreadable(&error))?;
    Ok(Parquet { schema: arrow::record_batch::RecordBatchReader::schema(&reader), reader })
}

/// The columns that have to be read.
fn wanted(schema: &Schema, spec: &Spec) -> Result<Vec<usize>, TransformError> {
    match spec.steps.first() {
        Some(Step::Select(columns)) => {
            let index = |name: &String| schema.index_of(name).map_err(|_| crate::steps::missing(name, schema));
            columns.iter().map(index).collect()
        }
        _ => Ok((0..schema.fields().len()).collect()),
    }
}

impl Rows for Parquet {
    fn schema(&self) -> Option<SchemaRef> {
        Some(self.schema.clone())
    }

    fn next(&mut self, _: &mut DeadLetters<'_>) -> Result<Option<RecordBatch>, TransformError> {
        self.reader.next().transpose().map_err(|error| TransformError::malformed(Format::Parquet, error.to_string()))
    }
}
