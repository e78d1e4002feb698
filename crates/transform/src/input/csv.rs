//! Comma-separated values (RFC 4180), with a header.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format as Inference;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use csv::ByteRecord;

use super::chunks::{Chunks, EndOfRecords};
use super::records::RecordFormat;
use crate::{ColumnType, Format, TransformError};

pub(super) struct Csv {
    schema: Option<SchemaRef>,
}

impl Csv {
    /// Takes the header, and finds out the columns' types by the first records.
    pub(super) fn of(chunks: &mut Chunks, types: &BTreeMap<String, ColumnType>) -> Result<Self, TransformError> {
        let sample = chunks.peek(Self::END, 0)?;
        let places = places(sample);
        let Some(header) = places.first() else { return Ok(Self { schema: None }) };
        let names = names(&sample[header.clone()])?;
        let inference = Inference::default().with_header(true).with_truncated_rows(true);
        // A record that is no text becomes a dead letter when it is read.
        let text = String::from_utf8_lossy(sample);
        let (inferred, _) = inference
            .infer_schema(text.as_bytes(), None)
            .map_err(|error| TransformError::malformed(Format::Csv, error.to_string()))?;
        let as_they_stand = as_they_stand(&sample[header.end..], names.len());
        let fields = names.iter().zip(as_they_stand).enumerate().map(|(index, (name, as_it_stands))| {
            let found = inferred.fields().get(index).map_or(DataType::Utf8, |field| field.data_type().clone());
            let found = if as_it_stands || found == DataType::Null { DataType::Utf8 } else { found };
            Field::new(name, types.get(name).map_or(found, |column| column.data_type()), true)
        });
        let schema = Schema::new(fields.collect::<Vec<_>>());
        let header = header.end;
        chunks.consume(header);
        Ok(Self { schema: Some(Arc::new(schema)) })
    }
}

impl RecordFormat for Csv {
    const END: EndOfRecords = |bytes, is_last| {
        if is_last {
            return bytes.len();
        }
        // Only a quote may hide the end of a line.
        if memchr::memchr(b'"', bytes).is_none()
            && let Some(newline) = memchr::memrchr(b'\n', bytes)
        {
            return newline + 1;
        }
        places(bytes).last().map_or(0, |last| last.start)
    };

    fn schema(&self) -> Option<SchemaRef> {
        self.schema.clone()
    }

    fn decode(&self, records: &[u8]) -> Result<RecordBatch, String> {
        let schema = self.schema.clone().ok_or("it has no columns")?;
        let lines = memchr::memchr2_iter(b'\n', b'\r', records).count() + 1;
        let mut decoder = ReaderBuilder::new(schema.clone()).with_batch_size(lines).build_decoder();
        // The second time says that no bytes follow.
        let batch = decoder.decode(records).and_then(|_| decoder.decode(&[])).and_then(|_| decoder.flush());
        batch.map(|batch| batch.unwrap_or_else(|| RecordBatch::new_empty(schema))).map_err(|error| error.to_string())
    }

    fn split(&self, records: &[u8]) -> Vec<Range<usize>> {
        places(records)
    }

    fn may_be(&self, _: usize, _: &[u8]) -> bool {
        true
    }
}

fn reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes)
}

/// Where each record lies. The last one may not be whole.
fn places(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut reader, mut record, mut places, mut from) = (reader(bytes), ByteRecord::new(), Vec::new(), 0);
    while let Ok(true) = reader.read_byte_record(&mut record) {
        let end = usize::try_from(reader.position().byte()).unwrap_or(bytes.len());
        places.push(from..end);
        from = end;
    }
    places
}

fn names(header: &[u8]) -> Result<Vec<String>, TransformError> {
    let mut record = ByteRecord::new();
    let read = reader(header).read_byte_record(&mut record);
    read.map_err(|error| TransformError::malformed(Format::Csv, error.to_string()))?;
    let names: Result<Vec<_>, _> = record.iter().map(|name| String::from_utf8(name.to_vec())).collect();
    let names = names.map_err(|_| TransformError::malformed(Format::Csv, "its header is not UTF-8"))?;
    let mut sorted: Vec<_> = names.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(TransformError::malformed(Format::Csv, format!("its header names column {:?} twice", pair[0])))
        }
        None => Ok(names),
    }
}

/// Which columns hold what looks like numbers and would not be the same after it was read as such: `007`, `+49`.
fn as_they_stand(records: &[u8], columns: usize) -> Vec<bool> {
    let (mut reader, mut record, mut found) = (reader(records), ByteRecord::new(), vec![false; columns]);
    while let Ok(true) = reader.read_byte_record(&mut record) {
        for (found, value) in found.iter_mut().zip(&record) {
            *found |= matches!(value.strip_prefix(b"-").unwrap_or(value), [b'0', b'0'..=b'9', ..] | [b'+', ..]);
        }
    }
    found
}
