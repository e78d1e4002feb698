//! Reads Parquet's columns side by side, each some way ahead, within a bound of memory.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::RangeSource;

/// Bytes that are read ahead, of all columns of a row group together; those of two may be held.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of one request at least, where there are as many.
const LEAST_WINDOW: u64 = 64 * 1024;
/// Two columns so near to each other are read in one.
const GAP: u64 = 64 * 1024;

/// What will be read, from its start to its end: a column of a row group, or several that lie together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// The row group, which are read in their order.
    group: usize,
    bytes: Range<u64>,
    /// What is read of it at once.
    window: u64,
}

/// How the columns of a row group are read: all at once where they are small, else some of each; only a little where not all rows are
/// wanted, and most pages are skipped.
pub(super) fn plan(group: usize, mut columns: Vec<Range<u64>>, is_cut: bool) -> Vec<Run> {
    columns.sort_unstable_by_key(|column| column.start);
    let all: u64 = columns.iter().map(|column| column.end - column.start).sum();
    if all > MOST_BYTES {
        let share = if is_cut { LEAST_WINDOW } else { MOST_BYTES / columns.len() as u64 };
        let window = share.max(LEAST_WINDOW);
        return columns.into_iter().map(|bytes| Run { group, bytes, window }).collect();
    }
    let mut runs: Vec<Run> = Vec::new();
    for bytes in columns {
        match runs.last_mut() {
            Some(run) if bytes.start <= run.bytes.end + GAP => run.bytes.end = run.bytes.end.max(bytes.end),
            _ => runs.push(Run { group, bytes, window: u64::MAX }),
        }
    }
    runs
}

/// A Parquet object whose columns are read by windows; clones are the same one.
#[derive(Clone)]
pub(super) struct Windows(Arc<Inner>);

struct Inner {
    source: Arc<dyn RangeSource>,
    /// In the order of their starts.
    runs: Vec<Run>,
    /// What is held of each run, and where that begins.
    ahead: Mutex<Vec<Option<(u64, Bytes)>>>,
}

impl Windows {
    pub(super) fn new(source: Arc<dyn RangeSource>, mut runs: Vec<Run>) -> Self {
        runs.sort_unstable_by_key(|run| run.bytes.start);
        let ahead = Mutex::new(vec![None; runs.len()]);
        Self(Arc::new(Inner { source, runs, ahead }))
    }
}

impl Inner {
    /// Some bytes from here on, at least one where there is any. As many as are needed are asked for at once.
    fn some(&self, from: u64, needed: u64) -> io::Result<Bytes> {
        let index = self.runs.partition_point(|run| run.bytes.start <= from).checked_sub(1);
        let Some((index, run)) = index.map(|index| (index, &self.runs[index])).filter(|(_, run)| from < run.bytes.end)
        else {
            return self.source.read(from..self.source.size().min(from + LEAST_WINDOW.max(needed)));
        };
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((start, bytes)) = &ahead[index]
            && let Some(at) = from.checked_sub(*start).and_then(|at| usize::try_from(at).ok())
            && at < bytes.len()
        {
            return Ok(bytes.slice(at..));
        }
        // A batch may take the end of one row group from one column when it took the start of the next from another.
        for (held, other) in ahead.iter_mut().zip(&self.runs) {
            if other.group + 1 < run.group {
                *held = None;
            }
        }
        ahead[index] = None;
        let bytes = self.source.read(from..run.bytes.end.min(from.saturating_add(run.window.max(needed))))?;
        ahead[index] = Some((from, bytes.clone()));
        Ok(bytes)
    }
}

impl Length for Windows {
    fn len(&self) -> u64 {
        self.0.source.size()
    }
}

impl ChunkReader for Windows {
    type T = WindowReader;

    fn get_read(&self, start: u64) -> Result<WindowReader> {
        Ok(WindowReader { windows: self.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let failed = |error| ParquetError::External(Box::new(error));
        let first = self.0.some(start, length as u64).map_err(failed)?;
        if first.len() >= length {
            return Ok(first.slice(..length));
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&first);
        while bytes.len() < length {
            let missing = length - bytes.len();
            let from = start + bytes.len() as u64;
            let more =
                if from < self.len() { self.0.some(from, missing as u64).map_err(failed)? } else { Bytes::new() };
            if more.is_empty() {
                return Err(ParquetError::EOF(format!("{length} bytes are missing from {start} on")));
            }
            bytes.extend_from_slice(&more[..more.len().min(missing)]);
        }
        Ok(bytes.into())
    }
}

pub(super) struct WindowReader {
    windows: Windows,
    at: u64,
}

impl Read for WindowReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.windows.0.source.size() || buffer.is_empty() {
            return Ok(0);
        }
        let bytes = self.windows.0.some(self.at, 1)?;
        let length = bytes.len().min(buffer.len());
        buffer[..length].copy_from_slice(&bytes[..length]);
        self.at += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::{GAP, LEAST_WINDOW, MOST_BYTES, Run, plan};

    #[test]
    fn small_row_groups_are_read_at_once_and_large_ones_column_by_column() {
        let run = |bytes, window| Run { group: 3, bytes, window };
        assert_eq!(plan(3, vec![100..200, 4..100], true), [run(4..200, u64::MAX)]);
        assert_eq!(
            plan(3, vec![0..10, 11 + GAP..100_000], false),
            [run(0..10, u64::MAX), run(11 + GAP..100_000, u64::MAX)]
        );
        let half = MOST_BYTES / 2;
        assert_eq!(
            plan(3, vec![0..MOST_BYTES, MOST_BYTES..2 * MOST_BYTES], false),
            [run(0..MOST_BYTES, half), run(MOST_BYTES..2 * MOST_BYTES, half)]
        );
        let wide = plan(3, (0..10_000).map(|column| column * 10_000..(column + 1) * 10_000).collect(), false);
        let cut = plan(3, vec![0..MOST_BYTES, MOST_BYTES..2 * MOST_BYTES], true);
        assert!(cut.iter().all(|run| run.window == LEAST_WINDOW), "what is skipped is not read");
        assert!(wide.iter().all(|run| run.window == LEAST_WINDOW), "whatever it takes, no request is tiny");
    }
}
