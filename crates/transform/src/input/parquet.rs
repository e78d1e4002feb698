//! Apache Parquet.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::file::metadata::RowGroupMetaData;

use super::windows::{Windows, plan};
use super::{BATCH_BYTES, BATCH_ROWS, RangeSource, Rows};
use crate::dead_letters::DeadLetters;
use crate::{Format, Piece, Spec, Step, TransformError};

pub(super) struct Parquet {
    schema: SchemaRef,
    reader: ParquetRecordBatchReader,
}

/// Begins to read one. Of what a first step throws away, nothing is read, and of row groups that hold none of a piece neither.
pub(super) fn open(source: Arc<dyn RangeSource>, piece: Piece, spec: &Spec) -> Result<Parquet, TransformError> {
    let unreadable = |error: &dyn ToString| TransformError::malformed(Format::Parquet, error.to_string());
    let footer = Windows::new(source.clone(), Vec::new());
    let metadata = ArrowReaderMetadata::load(&footer, ArrowReaderOptions::new()).map_err(|error| unreadable(&error))?;
    let columns = columns(metadata.schema(), spec)?;
    let file = metadata.metadata();
    let mask = ProjectionMask::roots(metadata.parquet_schema(), columns);
    let mut runs = Vec::new();
    let (mut bytes, mut rows) = (0_i64, 0_i64);
    let wanted = Wanted::of(piece, file.row_groups());
    for number in wanted.groups.clone() {
        let group = file.row_group(number);
        let columns = group.columns().iter().enumerate().filter(|(index, _)| mask.leaf_included(*index));
        let ranges = columns.map(|(_, column)| {
            bytes += column.uncompressed_size();
            let (start, length) = column.byte_range();
            start..start + length
        });
        runs.extend(plan(number, ranges.collect(), piece != Piece::WHOLE));
        rows += group.num_rows();
    }
    let row = usize::try_from(bytes / rows.max(1)).unwrap_or(usize::MAX).max(1);
    let windows = Windows::new(source, runs);
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(windows, metadata);
    // Columns are decoded to some more bytes than they take in pages.
    let batch = (4 * BATCH_BYTES / row).clamp(1, BATCH_ROWS);
    let builder = builder.with_projection(mask).with_batch_size(batch).with_row_groups(wanted.groups.collect());
    let builder = if piece == Piece::WHOLE { builder } else { builder.with_row_selection(wanted.rows) };
    let reader = builder.build().map_err(|error| unreadable(&error))?;
    Ok(Parquet { schema: arrow::record_batch::RecordBatchReader::schema(&reader), reader })
}

/// Which rows are read.
struct Wanted {
    groups: Range<usize>,
    /// Of those of these row groups.
    rows: RowSelection,
}

impl Wanted {
    fn of(piece: Piece, groups: &[RowGroupMetaData]) -> Self {
        let rows_of = |group: &RowGroupMetaData| u64::try_from(group.num_rows()).unwrap_or_default();
        let rows = piece.share(groups.iter().map(rows_of).sum());
        let ends = groups.iter().scan(0, |end, group| {
            *end += rows_of(group);
            Some(*end)
        });
        let ends: Vec<_> = ends.collect();
        let from = ends.partition_point(|end| *end <= rows.start);
        let to = ends.partition_point(|end| *end < rows.end).max(from);
        let groups = from..if rows.is_empty() { from } else { to + 1 };
        let before = from.checked_sub(1).map_or(0, |last| ends[last]);
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        let skipped = if rows.is_empty() { 0 } else { rows.start - before };
        let selected = RowSelector::select(count(rows.end - rows.start));
        Self { groups, rows: vec![RowSelector::skip(count(skipped)), selected].into() }
    }
}

/// The columns that have to be read.
fn columns(schema: &Schema, spec: &Spec) -> Result<Vec<usize>, TransformError> {
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
