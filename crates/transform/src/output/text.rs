//! JSON Lines and CSV.

use arrow::csv::{Writer, WriterBuilder};
use arrow::datatypes::SchemaRef;
use arrow::json::LineDelimitedWriter;
use arrow::record_batch::RecordBatch;

use super::{Compressor, RowWriter};
use crate::TransformError;

pub(super) struct JsonLines<'a> {
    writer: LineDelimitedWriter<Compressor<'a>>,
}

impl<'a> JsonLines<'a> {
    pub(super) fn new(out: Compressor<'a>) -> Self {
        Self { writer: LineDelimitedWriter::new(out) }
    }
}

impl RowWriter for JsonLines<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), TransformError> {
        Ok(self.writer.write(batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), TransformError> {
        self.writer.finish()?;
        self.writer.into_inner().finish()
    }
}

pub(super) struct Csv<'a> {
    writer: Writer<Compressor<'a>>,
    has_written: bool,
    schema: SchemaRef,
}

impl<'a> Csv<'a> {
    pub(super) fn new(out: Compressor<'a>, schema: &SchemaRef) -> Result<Self, TransformError> {
        if let Some(nested) = schema.fields().iter().find(|field| field.data_type().is_nested()) {
            let name = nested.name();
            return Err(TransformError::Columns(format!(
                "column {name:?} holds lists or objects, which CSV cannot: drop it, or write Parquet or JSON Lines"
            )));
        }
        let writer = WriterBuilder::new().with_header(true).build(out);
        Ok(Self { writer, has_written: false, schema: schema.clone() })
    }
}

impl RowWriter for Csv<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), TransformError> {
        self.has_written = true;
        Ok(self.writer.write(batch)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), TransformError> {
        if !self.has_written {
            // The header at least.
            self.writer.write(&RecordBatch::new_empty(self.schema.clone()))?;
        }
        self.writer.into_inner().finish()
    }
}
