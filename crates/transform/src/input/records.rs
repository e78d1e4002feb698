//! Rows of text formats: whole chunks at once, and record by record where one of them does not fit.

use std::collections::VecDeque;
use std::ops::Range;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use super::chunks::{Chunks, EndOfRecords};
use super::{BATCH_ROWS, Rows};
use crate::TransformError;
use crate::dead_letters::DeadLetters;

/// A text format, and the columns that were found.
pub(super) trait RecordFormat {
    const END: EndOfRecords;

    fn schema(&self) -> Option<SchemaRef>;

    /// Rows of these whole records; the error says why one of them is none.
    fn decode(&self, records: &[u8]) -> Result<RecordBatch, String>;

    /// Where each record lies.
    fn split(&self, records: &[u8]) -> Vec<Range<usize>>;

    /// Whether so many rows may be all that these bytes hold; asked after they were decoded.
    fn may_be(&self, rows: usize, records: &[u8]) -> bool;
}

pub(super) struct Records<F> {
    chunks: Chunks,
    format: F,
    /// Records up to here.
    record: u64,
    ready: VecDeque<RecordBatch>,
}

impl<F: RecordFormat> Records<F> {
    pub(super) fn new(chunks: Chunks, format: F) -> Self {
        Self { chunks, format, record: 0, ready: VecDeque::new() }
    }
}

impl<F: RecordFormat> Rows for Records<F> {
    fn schema(&self) -> Option<SchemaRef> {
        self.format.schema()
    }

    fn next(&mut self, dead_letters: &mut DeadLetters<'_>) -> Result<Option<RecordBatch>, TransformError> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let records = self.chunks.peek(F::END, self.record + 1)?;
            if records.is_empty() {
                return Ok(None);
            }
            let length = records.len();
            match self.format.decode(records) {
                Ok(batch) if self.format.may_be(batch.num_rows(), records) => {
                    self.record += batch.num_rows() as u64;
                    self.ready.extend(slices(batch));
                }
                _ => {
                    let places = self.format.split(records);
                    let first = self.record + 1;
                    let mut sieve =
                        Sieve { format: &self.format, records, first, places: &places, ready: &mut self.ready };
                    sieve.sift(0..places.len(), dead_letters)?;
                    self.record += places.len() as u64;
                }
            }
            self.chunks.consume(length);
        }
    }
}

/// A chunk of records like `{}` has very many rows.
fn slices(batch: RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    (0..rows).step_by(BATCH_ROWS).map(move |from| batch.slice(from, BATCH_ROWS.min(rows - from)))
}

/// Parts the records that fit from those that do not, by halves.
struct Sieve<'a, F> {
    format: &'a F,
    records: &'a [u8],
    /// The number of the first of them.
    first: u64,
    places: &'a [Range<usize>],
    ready: &'a mut VecDeque<RecordBatch>,
}

impl<F: RecordFormat> Sieve<'_, F> {
    fn sift(&mut self, which: Range<usize>, dead_letters: &mut DeadLetters<'_>) -> Result<(), TransformError> {
        let Some(places) = self.places.get(which.clone()).filter(|places| !places.is_empty()) else { return Ok(()) };
        let bytes = &self.records[places[0].start..places[places.len() - 1].end];
        let reason = match self.format.decode(bytes) {
            Ok(batch) if batch.num_rows() == places.len() => {
                self.ready.extend(slices(batch));
                return Ok(());
            }
            Ok(batch) => format!("it holds {} rows, and not one", batch.num_rows()),
            Err(reason) => reason,
        };
        if places.len() == 1 {
            return dead_letters.add(self.first + which.start as u64, &reason, bytes);
        }
        let middle = which.start + places.len() / 2;
        self.sift(which.start..middle, dead_letters)?;
        self.sift(middle..which.end, dead_letters)
    }
}
