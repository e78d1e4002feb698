//! Parquet: row groups that lie within a piece are taken as they are, and of others the rows, column by column.

use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::column::writer::{ColumnCloseResult, ColumnWriter, ColumnWriterImpl};
use parquet::data_type::DataType;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};

use super::Piece;
use super::ahead::Ahead;
use crate::{Format, RangeSource, TransformError};

/// Bytes of a column that are held at once, about, and rows at most.
const BATCH_BYTES: i64 = 1024 * 1024;
const BATCH_ROWS: i64 = 8192;

type Out<'a> = &'a mut (dyn Write + Send);

/// Writes a piece of Parquet: those of its rows that are the piece's share of all, with the same schema, metadata and codecs. It says how
/// many rows they are. Row groups of other rows are not read, and of the one that is cut mostly the piece's pages.
///
/// It holds the footer, some pages of a column at a time, and what is read ahead of them: some 30 MiB, unless pages are huge.
///
/// # Errors
/// See [`TransformError`]. What was written by then is of no use.
pub fn cut_parquet(
    source: Arc<dyn RangeSource>,
    piece: Piece,
    out: Out<'_>,
) -> std::result::Result<u64, TransformError> {
    let table = Table::open(source)?;
    let mut writer = table.writer(out)?;
    let mut first = 0;
    let groups = table.metadata.row_groups();
    let rows = piece.share(groups.iter().map(rows_of).sum());
    for (index, group) in groups.iter().enumerate() {
        let all = first..first + rows_of(group);
        first = all.end;
        let wanted = rows.start.max(all.start)..rows.end.min(all.end);
        if wanted.is_empty() {
            continue;
        }
        let mut to = writer.next_row_group()?;
        if wanted == all {
            table.append_group(index, &mut to)?;
        } else {
            table.copy_rows(index, &(wanted.start - all.start..wanted.end - all.start), &mut to)?;
        }
        to.close()?;
    }
    writer.close()?;
    Ok(rows.end - rows.start)
}

/// Writes all pieces of Parquet as one, in the order in which they come, each row group as it is. It says how many rows they have.
///
/// # Errors
/// See [`TransformError`]; a piece cannot be opened, or has other columns than the first. What was written by then is of no use.
pub fn join_parquet(
    pieces: &mut dyn Iterator<Item = io::Result<Arc<dyn RangeSource>>>,
    out: Out<'_>,
) -> std::result::Result<u64, TransformError> {
    let mut open = || pieces.next().map(|piece| Table::open(piece.map_err(TransformError::Read)?)).transpose();
    let nothing = || TransformError::Internal("there are no pieces to be joined".to_owned());
    let mut table = open()?.ok_or_else(nothing)?;
    let (schema, mut rows) = (table.metadata.file_metadata().schema_descr().root_schema_ptr(), 0);
    let mut writer = table.writer(out)?;
    loop {
        if table.metadata.file_metadata().schema() != &*schema {
            return Err(TransformError::Columns("its pieces do not have the same columns".to_owned()));
        }
        for (index, group) in table.metadata.row_groups().iter().enumerate() {
            let mut to = writer.next_row_group()?;
            table.append_group(index, &mut to)?;
            to.close()?;
            rows += rows_of(group);
        }
        match open()? {
            Some(next) => table = next,
            None => break,
        }
    }
    writer.close()?;
    Ok(rows)
}

/// An object that is read.
struct Table {
    bytes: Ahead,
    metadata: ParquetMetaData,
}

impl Table {
    fn open(source: Arc<dyn RangeSource>) -> std::result::Result<Self, TransformError> {
        let bytes = Ahead::of(source);
        let metadata = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = metadata.parse_and_finish(&bytes);
        let metadata = metadata.map_err(|error| TransformError::malformed(Format::Parquet, error.to_string()))?;
        Ok(Self { bytes, metadata })
    }

    /// One for an object with the same columns.
    fn writer<'a>(&self, out: Out<'a>) -> std::result::Result<SerializedFileWriter<Out<'a>>, TransformError> {
        let file = self.metadata.file_metadata();
        let mut properties = WriterProperties::builder()
            .set_created_by("skyfleet".to_owned())
            .set_key_value_metadata(file.key_value_metadata().cloned());
        if let Some(group) = self.metadata.row_groups().first() {
            properties = properties.set_sorting_columns(group.sorting_columns().cloned());
            for column in group.columns() {
                properties = properties.set_column_compression(column.column_path().clone(), column.compression());
            }
        }
        let schema = file.schema_descr().root_schema_ptr();
        Ok(SerializedFileWriter::new(out, schema, Arc::new(properties.build()))?)
    }

    /// A row group, byte for byte.
    fn append_group(&self, index: usize, to: &mut SerializedRowGroupWriter<'_, Out<'_>>) -> Result<()> {
        let (group, pages) = (self.metadata.row_group(index), self.metadata.page_index());
        for (number, column) in group.columns().iter().enumerate() {
            let as_it_is = ColumnCloseResult {
                bytes_written: column.compressed_size().unsigned_abs(),
                rows_written: rows_of(group),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: pages.and_then(|pages| pages.column_index(index, number)).cloned(),
                offset_index: pages.and_then(|pages| pages.offset_index(index, number)).cloned(),
            };
            to.append_column(&self.bytes, as_it_is)?;
        }
        Ok(())
    }

    /// These rows of a row group.
    fn copy_rows(&self, index: usize, rows: &Range<u64>, to: &mut SerializedRowGroupWriter<'_, Out<'_>>) -> Result<()> {
        let group = self.metadata.row_group(index);
        for (number, column) in group.columns().iter().enumerate() {
            let pages = self.metadata.page_index().and_then(|pages| pages.offset_index(index, number));
            let pages = pages.map(|pages| pages.page_locations().clone());
            let total = usize::try_from(rows_of(group)).unwrap_or(usize::MAX);
            let pages = SerializedPageReader::new(Arc::new(self.bytes.clone()), column, total, pages)?;
            let reader = get_column_reader(column.column_descr_ptr(), Box::new(pages));
            let missing = || ParquetError::General("a column is missing".to_owned());
            let mut writer = to.next_column()?.ok_or_else(missing)?;
            let batch =
                (BATCH_BYTES / (column.uncompressed_size() / group.num_rows().max(1)).max(1)).clamp(1, BATCH_ROWS);
            let cut = Cut { rows: rows.clone(), batch: batch.unsigned_abs() };
            cut.copy_any(reader, writer.untyped())?;
            writer.close()?;
        }
        Ok(())
    }
}

fn rows_of(group: &RowGroupMetaData) -> u64 {
    u64::try_from(group.num_rows()).unwrap_or_default()
}

/// Which rows of a column are copied, and how many at once.
struct Cut {
    rows: Range<u64>,
    batch: u64,
}

impl Cut {
    fn copy_any(&self, from: ColumnReader, to: &mut ColumnWriter<'_>) -> Result<()> {
        use {ColumnReader as R, ColumnWriter as W};
        match (from, to) {
            (R::BoolColumnReader(from), W::BoolColumnWriter(to)) => self.copy(from, to),
            (R::Int32ColumnReader(from), W::Int32ColumnWriter(to)) => self.copy(from, to),
            (R::Int64ColumnReader(from), W::Int64ColumnWriter(to)) => self.copy(from, to),
            (R::Int96ColumnReader(from), W::Int96ColumnWriter(to)) => self.copy(from, to),
            (R::FloatColumnReader(from), W::FloatColumnWriter(to)) => self.copy(from, to),
            (R::DoubleColumnReader(from), W::DoubleColumnWriter(to)) => self.copy(from, to),
            (R::ByteArrayColumnReader(from), W::ByteArrayColumnWriter(to)) => self.copy(from, to),
            (R::FixedLenByteArrayColumnReader(from), W::FixedLenByteArrayColumnWriter(to)) => self.copy(from, to),
            _ => Err(ParquetError::General("a column is read as another type than it is written".to_owned())),
        }
    }

    fn copy<T: DataType>(&self, mut from: ColumnReaderImpl<T>, to: &mut ColumnWriterImpl<'_, T>) -> Result<()> {
        let ended = || ParquetError::EOF("a column has fewer rows than its row group".to_owned());
        let mut left = self.rows.start;
        while left > 0 {
            let skipped = from.skip_records(usize::try_from(left).unwrap_or(usize::MAX))? as u64;
            left = left.checked_sub(skipped).filter(|_| skipped > 0).ok_or_else(ended)?;
        }
        let column = to.get_descriptor().clone();
        let (has_definitions, has_repetitions) = (column.max_def_level() > 0, column.max_rep_level() > 0);
        let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
        let mut left = self.rows.end - self.rows.start;
        while left > 0 {
            values.clear();
            definitions.clear();
            repetitions.clear();
            let most = usize::try_from(left.min(self.batch)).unwrap_or(usize::MAX);
            let (definitions_to, repetitions_to) =
                (has_definitions.then_some(&mut definitions), has_repetitions.then_some(&mut repetitions));
            let (read, _, _) = from.read_records(most, definitions_to, repetitions_to, &mut values)?;
            left = left.checked_sub(read as u64).filter(|_| read > 0).ok_or_else(ended)?;
            let definitions = has_definitions.then_some(&definitions[..]);
            to.write_batch(&values, definitions, has_repetitions.then_some(&repetitions[..]))?;
        }
        Ok(())
    }
}
