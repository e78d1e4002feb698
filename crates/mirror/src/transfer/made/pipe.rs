//! Bytes between a thread that waits and tasks that do not.

use std::io::{self, Write};
use std::mem;

use bytes::Bytes;
use skyfleet_transform::{Outcome, TransformError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::StoreError;
use crate::transfer::reader::ChunkReader;

/// Bytes that are sent at once.
const CHUNK: usize = 256 * 1024;
/// Chunks on their way.
const CHUNKS: usize = 4;

pub(super) fn pipe() -> (PipeWriter, mpsc::Receiver<Bytes>) {
    let (chunks, receiver) = mpsc::channel(CHUNKS);
    (PipeWriter { chunks, chunk: Vec::new() }, receiver)
}

/// Written to by a thread.
pub(super) struct PipeWriter {
    chunks: mpsc::Sender<Bytes>,
    chunk: Vec<u8>,
}

impl PipeWriter {
    /// Sends what is left, and that it is all: what was cut short ends without an empty chunk.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.chunk.is_empty() {
            self.send()?;
        }
        self.send()
    }

    fn send(&mut self) -> io::Result<()> {
        let sent = self.chunks.blocking_send(mem::take(&mut self.chunk).into());
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.reserve_exact(CHUNK.saturating_sub(self.chunk.len()));
        let length = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..length]);
        if self.chunk.len() == CHUNK {
            self.send()?;
        }
        Ok(length)
    }

    /// Small pieces wait for others.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives what a transform makes, and ends well only when that did.
pub(super) struct MadeReader<F> {
    chunks: mpsc::Receiver<Bytes>,
    running: Option<JoinHandle<Result<Outcome, TransformError>>>,
    failed: F,
    size: u64,
    rows: Outcome,
}

impl<F: Fn(&TransformError) -> StoreError + Send> MadeReader<F> {
    pub(super) fn new(
        chunks: mpsc::Receiver<Bytes>,
        running: JoinHandle<Result<Outcome, TransformError>>,
        failed: F,
    ) -> Self {
        Self { chunks, running: Some(running), failed, size: 0, rows: Outcome::default() }
    }

    /// Takes no more: who writes learns that.
    pub(super) fn close(&mut self) {
        self.chunks.close();
    }

    /// Bytes that were made, and of which rows.
    pub(super) fn made(self) -> (u64, Outcome) {
        (self.size, self.rows)
    }
}

impl<F: Fn(&TransformError) -> StoreError + Send> ChunkReader for MadeReader<F> {
    type Error = StoreError;

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        if let Some(chunk) = self.chunks.recv().await.filter(|chunk| !chunk.is_empty()) {
            self.size += chunk.len() as u64;
            return Ok(Some(chunk));
        }
        let Some(running) = self.running.take() else { return Ok(None) };
        match running.await {
            Ok(Ok(rows)) => {
                self.rows = rows;
                Ok(None)
            }
            Ok(Err(error)) => Err((self.failed)(&error)),
            // Even of what breaks the reader of a format, only this object fails.
            Err(failure) => {
                Err((self.failed)(&TransformError::Internal(format!("the transform broke down: {failure}"))))
            }
        }
    }
}
