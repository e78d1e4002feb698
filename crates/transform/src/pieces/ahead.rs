//! Reads Parquet column by column: little where pages are skipped, more and more where they follow each other.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use crate::RangeSource;

/// Bytes of a request, of which the header of a page takes a few.
const LEAST: u64 = 64 * 1024;
const MOST: u64 = 4 * 1024 * 1024;

/// An object that is read from one place on; clones are the same one.
#[derive(Clone)]
pub(super) struct Ahead(Arc<Inner>);

struct Inner {
    source: Arc<dyn RangeSource>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    from: u64,
    bytes: Bytes,
    /// What the last request asked for.
    window: u64,
}

impl Ahead {
    pub(super) fn of(source: Arc<dyn RangeSource>) -> Self {
        Self(Arc::new(Inner { source, held: Mutex::default() }))
    }

    /// Bytes from here on: so many, as far as there are, and maybe more.
    fn read_from(&self, from: u64, least: u64) -> io::Result<Bytes> {
        let size = self.0.source.size();
        let wanted = least.min(size.saturating_sub(from));
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let end = held.from + held.bytes.len() as u64;
        let rest = if (held.from..end).contains(&from) {
            held.bytes.slice(usize::try_from(from - held.from).unwrap_or(usize::MAX)..)
        } else {
            Bytes::new()
        };
        if rest.len() as u64 >= wanted.max(1) {
            return Ok(rest);
        }
        let follows = from <= end && from >= held.from && end > 0;
        let window = if follows { (held.window * 2).min(MOST) } else { LEAST };
        let start = from + rest.len() as u64;
        let read = self.0.source.read(start..size.min(start.saturating_add(window.max(wanted))))?;
        let bytes = if rest.is_empty() { read } else { [rest, read].concat().into() };
        *held = Held { from, bytes: bytes.clone(), window };
        Ok(bytes)
    }
}

impl Length for Ahead {
    fn len(&self) -> u64 {
        self.0.source.size()
    }
}

impl ChunkReader for Ahead {
    type T = AheadReader;

    fn get_read(&self, start: u64) -> Result<AheadReader> {
        Ok(AheadReader { ahead: self.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.read_from(start, length as u64).map_err(|error| ParquetError::External(Box::new(error)))?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes are missing from {start} on")));
        }
        Ok(bytes.slice(..length))
    }
}

pub(super) struct AheadReader {
    ahead: Ahead,
    at: u64,
}

impl Read for AheadReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.ahead.len() || buffer.is_empty() {
            return Ok(0);
        }
        let bytes = self.ahead.read_from(self.at, 1)?;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        self.at += length as u64;
        Ok(length)
    }
}
