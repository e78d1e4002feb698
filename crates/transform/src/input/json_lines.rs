//! JSON Lines.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;
use serde::de::IgnoredAny;

use super::chunks::{Chunks, EndOfRecords};
use super::inference::Inferred;
use super::records::RecordFormat;
use crate::{ColumnType, Format, TransformError};

pub(super) struct JsonLines {
    schema: Option<SchemaRef>,
}

impl JsonLines {
    /// Finds out the columns by the first records.
    pub(super) fn of(chunks: &mut Chunks, types: &BTreeMap<String, ColumnType>) -> Result<Self, TransformError> {
        let sample = chunks.peek(Self::END, 1)?;
        let lines: Vec<_> = places(sample).into_iter().map(|place| &sample[place]).collect();
        if lines.is_empty() {
            return Ok(Self { schema: None });
        }
        let mut inferred = Inferred::default();
        for line in lines.iter().filter(|line| is_object(line)) {
            // What is wrong with a line is said when it is read as a row.
            inferred.see(line).ok();
        }
        let mut fields: Vec<_> = inferred.fields().iter().map(|field| typed(field, types)).collect();
        let named: Vec<_> = fields.iter().map(|field| field.name().clone()).collect();
        let others = types.iter().filter(|(name, _)| !named.contains(name));
        fields.extend(others.map(|(name, column)| Arc::new(Field::new(name, column.data_type(), true))));
        if fields.is_empty() {
            let reason = format!("none of its first {} lines is a JSON object with fields", lines.len());
            return Err(TransformError::malformed(Format::JsonLines, reason));
        }
        Ok(Self { schema: Some(Arc::new(Schema::new(fields))) })
    }
}

impl RecordFormat for JsonLines {
    const END: EndOfRecords = |bytes, is_last| match memchr::memrchr(b'\n', bytes) {
        _ if is_last => bytes.len(),
        Some(newline) => newline + 1,
        None => 0,
    };

    fn schema(&self) -> Option<SchemaRef> {
        self.schema.clone()
    }

    fn decode(&self, records: &[u8]) -> Result<RecordBatch, String> {
        let schema = self.schema.clone().ok_or("it has no columns")?;
        let rows = lines_in(records);
        // Numbers and truth values are text where a column is; a field that is no column would be lost otherwise.
        let builder = ReaderBuilder::new(schema.clone()).with_batch_size(rows + 1);
        let builder = builder.with_coerce_primitive(true).with_strict_mode(true);
        let decoded = builder.build_decoder().and_then(|mut decoder| {
            let read = decoder.decode(records)?;
            if read < records.len() {
                return Err(ArrowError::JsonError("there is more than one object in a line".to_owned()));
            }
            decoder.flush()
        });
        decoded.map(|batch| batch.unwrap_or_else(|| RecordBatch::new_empty(schema))).map_err(|error| error.to_string())
    }

    fn split(&self, records: &[u8]) -> Vec<Range<usize>> {
        places(records)
    }

    fn may_be(&self, rows: usize, records: &[u8]) -> bool {
        rows == lines_in(records)
    }
}

fn lines_in(bytes: &[u8]) -> usize {
    let newlines = memchr::memchr_iter(b'\n', bytes).count();
    newlines + usize::from(!bytes.is_empty() && !bytes.ends_with(b"\n"))
}

/// Where the lines lie that hold anything.
fn places(bytes: &[u8]) -> Vec<Range<usize>> {
    let ends = memchr::memchr_iter(b'\n', bytes).map(|newline| newline + 1).chain([bytes.len()]);
    let mut from = 0;
    let lines = ends.map(|end| std::mem::replace(&mut from, end)..end);
    lines.filter(|line| !bytes[line.clone()].trim_ascii().is_empty()).collect()
}

fn is_object(line: &[u8]) -> bool {
    let text = std::str::from_utf8(line).ok();
    line.trim_ascii_start().starts_with(b"{")
        && text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// A column as a user wants it, or as it was found.
fn typed(field: &FieldRef, types: &BTreeMap<String, ColumnType>) -> FieldRef {
    match types.get(field.name()) {
        Some(wanted) => Arc::new(Field::new(field.name(), wanted.data_type(), true)),
        None => field.clone(),
    }
}
