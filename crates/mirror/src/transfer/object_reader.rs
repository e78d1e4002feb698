//! Reads one version of an object, by one connection at a time.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::reader::ChunkReader;
use crate::cancel::cancellable;
use crate::content::Digests;
use crate::pace::Pace;
use crate::{Body, ByteRange, Checksum, ObjectHead, ObjectStore, StoreError, StoreErrorKind};

/// How often in a row a body may break without giving a byte before the object fails. Opening it again waits by itself.
const MOST_BREAKS: u32 = 3;

/// Bytes of one version of an object: when the connection breaks it reads on where it stopped, and only in the same version.
pub(crate) struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    key: String,
    head: ObjectHead,
    body: Option<Body>,
    /// What is left to read.
    rest: ByteRange,
    breaks: u32,
    cancel: CancellationToken,
    /// What its bytes have to wait for.
    pub(crate) pace: Option<Arc<Pace>>,
}

impl ObjectReader {
    /// Opens these bytes of the object; with an ETag only of that version.
    pub(crate) async fn open(
        store: Arc<dyn ObjectStore>,
        key: String,
        range: ByteRange,
        etag: Option<&str>,
        cancel: CancellationToken,
    ) -> Result<Self, StoreError> {
        let (head, body) = cancellable(&cancel, store.place(), store.get(&key, range, etag)).await?;
        Ok(Self { store, key, head, body: Some(body), rest: range, breaks: 0, cancel, pace: None })
    }

    /// Where it ends in the object.
    pub(crate) fn end(&self) -> u64 {
        self.rest.end_in(self.head.size)
    }

    /// What the store says about the version that is read.
    pub(crate) fn head(&self) -> &ObjectHead {
        &self.head
    }

    pub(crate) fn error(&self, kind: StoreErrorKind, detail: &str) -> StoreError {
        self.store.place().error(kind, format!("read {:?} to its end", self.key), detail)
    }

    async fn paced(&mut self, bytes: usize) -> Result<(), StoreError> {
        let Some(pace) = &self.pace else { return Ok(()) };
        let wait = async {
            pace.take(bytes as u64).await;
            Ok(())
        };
        cancellable(&self.cancel, self.store.place(), wait).await
    }

    async fn reopen(&mut self) -> Result<Body, StoreError> {
        if self.head.etag.is_empty() {
            return Err(self.error(StoreErrorKind::Changed, "the store gives no ETag to read on by"));
        }
        let request = self.store.get(&self.key, self.rest, Some(&self.head.etag));
        let (_, body) = cancellable(&self.cancel, self.store.place(), request).await?;
        Ok(body)
    }

    /// The body ended early or failed: forget it, or give up.
    fn broken(&mut self, cause: Option<StoreError>) -> Result<(), StoreError> {
        let cause = cause.unwrap_or_else(|| self.error(StoreErrorKind::Unreachable, "the body ended early"));
        // Nothing is left to read on: only the end of it was not confirmed.
        if self.rest.from == self.end() {
            return Err(StoreError { kind: StoreErrorKind::Corrupt, ..cause });
        }
        self.breaks += 1;
        if self.breaks > MOST_BREAKS || cause.kind == StoreErrorKind::Cancelled {
            return Err(cause);
        }
        self.body = None;
        Ok(())
    }
}

impl ChunkReader for ObjectReader {
    type Error = StoreError;

    fn pinned(&self) -> Option<Pinned> {
        let (store, cancel) = (self.store.clone(), self.cancel.clone());
        let pinned = Pinned { store, key: self.key.clone(), etag: self.head.etag.clone(), cancel };
        (!pinned.etag.is_empty()).then_some(pinned)
    }

    fn announced(&self) -> Option<Checksum> {
        self.head.whole_checksum()
    }

    fn confirm(&self, read: &Digests) -> Result<(), StoreError> {
        match self.announced().and_then(|stored| read.agree_with(stored)) {
            Some(false) => Err(self.error(StoreErrorKind::Corrupt, "its checksum is that of another content")),
            Some(true) | None => Ok(()),
        }
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            let mut body = match self.body.take() {
                Some(body) => body,
                None => self.reopen().await?,
            };
            let next = async { body.next().await.transpose() };
            match cancellable(&self.cancel, self.store.place(), next).await {
                Ok(Some(chunk)) => {
                    self.body = Some(body);
                    self.rest.from += chunk.len() as u64;
                    self.breaks = 0;
                    if self.rest.from > self.end() {
                        return Err(self.error(StoreErrorKind::Protocol, "more bytes than the store announced"));
                    }
                    self.paced(chunk.len()).await?;
                    return Ok(Some(chunk));
                }
                Ok(None) if self.rest.from == self.end() => return Ok(None),
                Ok(None) => self.broken(None)?,
                Err(error) => self.broken(Some(error))?,
            }
        }
    }
}

/// A version of an object, to be read again.
#[derive(Clone)]
pub(crate) struct Pinned {
    store: Arc<dyn ObjectStore>,
    pub(crate) key: String,
    etag: String,
    cancel: CancellationToken,
}

impl Pinned {
    /// The version that a store has told of.
    pub(crate) fn of(
        store: Arc<dyn ObjectStore>,
        key: String,
        head: &ObjectHead,
        cancel: CancellationToken,
    ) -> Result<Self, StoreError> {
        if head.etag.is_empty() {
            let detail = "the store gives no ETag, so that parts of it may be of two versions";
            return Err(store.place().error(StoreErrorKind::Rejected, format!("read {key:?} here and there"), detail));
        }
        Ok(Self { store, key, etag: head.etag.clone(), cancel })
    }

    pub(crate) async fn open(&self, range: ByteRange) -> Result<ObjectReader, StoreError> {
        let etag = Some(self.etag.as_str());
        ObjectReader::open(self.store.clone(), self.key.clone(), range, etag, self.cancel.clone()).await
    }

    pub(crate) fn failed(&self, kind: StoreErrorKind, detail: &str) -> StoreError {
        self.store.place().error(kind, format!("read a part of {:?} again", self.key), detail)
    }
}
