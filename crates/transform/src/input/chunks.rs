//! Cuts a stream of bytes into pieces that hold whole records.

use std::io::Read;

use super::BATCH_BYTES;
use crate::{Format, TransformError};

/// Bytes of a record at most: it has to be held whole.
const MOST_BYTES: usize = 16 * 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where the last whole record of these bytes ends; 0 when they hold none. The flag says that no bytes follow.
pub(super) type EndOfRecords = fn(&[u8], bool) -> usize;

pub(super) struct Chunks {
    reader: Box<dyn Read + Send>,
    format: Format,
    buffer: Vec<u8>,
    /// Where what was not given yet begins.
    from: usize,
    has_ended: bool,
    has_begun: bool,
}

impl Chunks {
    pub(super) fn new(reader: Box<dyn Read + Send>, format: Format) -> Self {
        Self { reader, format, buffer: Vec::new(), from: 0, has_ended: false, has_begun: false }
    }

    /// Some whole records, of about a megabyte, that stay; none after the last. `record` is the number of the first of them.
    pub(super) fn peek(&mut self, end: EndOfRecords, record: u64) -> Result<&[u8], TransformError> {
        let mut wanted = BATCH_BYTES;
        loop {
            self.fill(wanted)?;
            let held = &self.buffer[self.from..];
            let whole = if held.is_empty() { 0 } else { end(held, self.has_ended) };
            if whole > 0 || held.is_empty() {
                return Ok(&self.buffer[self.from..self.from + whole]);
            }
            if held.len() >= MOST_BYTES {
                return Err(TransformError::RecordTooLarge { format: self.format, record, most: MOST_BYTES });
            }
            wanted = (wanted * 2).min(MOST_BYTES);
        }
    }

    /// So many bytes were taken.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.from += bytes;
    }

    /// Reads until so many bytes are held, or no more come.
    fn fill(&mut self, wanted: usize) -> Result<(), TransformError> {
        if self.from > 0 {
            self.buffer.drain(..self.from);
            self.from = 0;
        }
        let missing = wanted.saturating_sub(self.buffer.len());
        if missing > 0 && !self.has_ended {
            let read = self.reader.by_ref().take(missing as u64).read_to_end(&mut self.buffer);
            self.has_ended = read.map_err(TransformError::Read)? < missing;
        }
        if !self.has_begun && self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.from = BYTE_ORDER_MARK.len();
        }
        self.has_begun = true;
        Ok(())
    }
}
