use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::cancel::cancellable;
use crate::content::{Digests, Hashing, Wanted};
use crate::pace::Pace;
use crate::{Body, Checksum, ObjectHead, ObjectStore, StoreError, StoreErrorKind};

/// How often in a row a body may break without giving a byte before the object fails. Opening it again waits by itself.
const MOST_BREAKS: u32 = 3;

/// A chunk of so many bytes is not copied: moving the bytes of a large object once more would cost more than its checksum.
pub(crate) const KEPT_AS_IT_IS: usize = 64 * 1024;

/// Something read once, from its start to its end: gives exactly the bytes it promised, then `None`, or fails.
pub(crate) trait ChunkReader: Send {
    type Error: Send;

    fn next_chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, Self::Error>> + Send;

    /// What its store keeps of the whole content, where it told that.
    fn announced(&self) -> Option<Checksum> {
        None
    }

    /// What to read a part again by, where that can be done.
    fn pinned(&self) -> Option<Pinned> {
        None
    }

    /// Whether the content that was read from the start to the end is the one that was announced.
    fn confirm(&self, _: &Digests) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// One version of an object: when the connection breaks it reads on where it stopped, and only in the same version.
pub(crate) struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    key: String,
    head: ObjectHead,
    body: Option<Body>,
    offset: u64,
    breaks: u32,
    cancel: CancellationToken,
    /// What its bytes have to wait for.
    pub(crate) pace: Option<Arc<Pace>>,
}

impl ObjectReader {
    /// Opens the object from `offset` on; with an ETag only that version.
    pub(crate) async fn open(
        store: Arc<dyn ObjectStore>,
        key: String,
        offset: u64,
        etag: Option<&str>,
        cancel: CancellationToken,
    ) -> Result<Self, StoreError> {
        let (head, body) = cancellable(&cancel, store.place(), store.get(&key, offset, etag)).await?;
        Ok(Self { store, key, head, body: Some(body), offset, breaks: 0, cancel, pace: None })
    }

    /// What the store says about the version that is read.
    pub(crate) fn head(&self) -> &ObjectHead {
        &self.head
    }

    fn error(&self, kind: StoreErrorKind, detail: &str) -> StoreError {
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
        let request = self.store.get(&self.key, self.offset, Some(&self.head.etag));
        let (_, body) = cancellable(&self.cancel, self.store.place(), request).await?;
        Ok(body)
    }

    /// The body ended early or failed: forget it, or give up.
    fn broken(&mut self, cause: Option<StoreError>) -> Result<(), StoreError> {
        let cause = cause.unwrap_or_else(|| self.error(StoreErrorKind::Unreachable, "the body ended early"));
        // Nothing is left to read on: only the end of it was not confirmed.
        if self.offset == self.head.size {
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
                    self.offset += chunk.len() as u64;
                    self.breaks = 0;
                    if self.offset > self.head.size {
                        return Err(self.error(StoreErrorKind::Protocol, "more bytes than the store announced"));
                    }
                    self.paced(chunk.len()).await?;
                    return Ok(Some(chunk));
                }
                Ok(None) if self.offset == self.head.size => return Ok(None),
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
    pub(crate) async fn open(&self, offset: u64) -> Result<ObjectReader, StoreError> {
        let etag = Some(self.etag.as_str());
        ObjectReader::open(self.store.clone(), self.key.clone(), offset, etag, self.cancel.clone()).await
    }

    pub(crate) fn failed(&self, kind: StoreErrorKind, detail: &str) -> StoreError {
        self.store.place().error(kind, format!("read a part of {:?} again", self.key), detail)
    }
}

/// Cuts what a reader gives into parts.
pub(crate) struct Parts<'a, R> {
    reader: &'a mut R,
    rest: Bytes,
}

impl<'a, R: ChunkReader> Parts<'a, R> {
    pub(crate) fn new(reader: &'a mut R) -> Self {
        Self { reader, rest: Bytes::new() }
    }

    /// The next piece, of at most `most` bytes; an empty one only after the last. Small chunks are put together: they may be small
    /// pieces of much memory.
    pub(crate) async fn next(&mut self, most: u64) -> Result<Bytes, R::Error> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut small = BytesMut::new();
        while small.len() < most.min(KEPT_AS_IT_IS) {
            if self.rest.is_empty() {
                match self.reader.next_chunk().await? {
                    Some(chunk) => self.rest = chunk,
                    None => break,
                }
            }
            let length = self.rest.len().min(most - small.len());
            if length < KEPT_AS_IT_IS {
                small.extend_from_slice(&self.rest.split_to(length));
            } else if small.is_empty() {
                return Ok(self.rest.split_to(length));
            } else {
                break;
            }
        }
        Ok(small.freeze())
    }

    /// Makes sure that nothing follows: only then has the reader confirmed all it gave.
    pub(crate) async fn end(&mut self) -> Result<(), R::Error> {
        while self.reader.next_chunk().await?.is_some() {}
        Ok(())
    }

    /// Whether all that was read is what was announced.
    pub(crate) fn confirm(&self, read: &Digests) -> Result<(), R::Error> {
        self.reader.confirm(read)
    }
}

/// The digests of all that a reader gives, with those it takes to compare them with a checksum.
pub(crate) async fn digests_of<R: ChunkReader>(
    reader: &mut R,
    compared: Option<Checksum>,
) -> Result<Digests, R::Error> {
    let mut hashing = Hashing::new(1, Wanted::default().to_compare_with(compared));
    while let Some(chunk) = reader.next_chunk().await? {
        hashing.update(&chunk);
    }
    Ok(hashing.finish())
}
