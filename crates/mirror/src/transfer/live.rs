//! A part that is sent while it is still being read.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, watch};

use super::object_reader::Pinned;
use super::reader::Parts;
use super::room::Room;
use crate::content::{Digests, Hashing, Wanted, Whole};
use crate::store::http::Chunks;
use crate::{ByteRange, Checksum, Payload, StoreError, StoreErrorKind};

/// What a part came to, once all of it was read.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) digests: Digests,
    /// The digests of all up to it, where they are computed.
    pub(crate) whole: Option<Arc<Whole>>,
    /// Whether none follows, and its source has confirmed all of the object.
    pub(crate) is_last: bool,
}

/// What a part came to, or why nothing; unknown while it is read.
pub(crate) type Ending = Option<Result<End, Broken>>;

/// The pieces of a part, as they are read.
#[derive(Debug)]
pub(crate) struct Pieces {
    pub(crate) pieces: Receiver<Bytes>,
    /// Stays without a value when the source fails.
    pub(crate) end: watch::Receiver<Ending>,
}

/// Why a part is not to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("its source failed")]
    Source,
    /// Of a content that was not known to be so large before it was read.
    #[error(
        "it is larger than {most} bytes, which is all that the targets take of one object in parts of {part} bytes: split the \
         object that it is made of into smaller ones"
    )]
    TooLarge { most: u64, part: u64 },
}

impl Pieces {
    /// The next piece; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.pieces.recv().await
    }

    /// All of them.
    pub(crate) async fn collect(mut self) -> Result<(Chunks, End), Broken> {
        let mut chunks = Chunks::default();
        while let Some(piece) = self.next().await {
            chunks.push(piece);
        }
        Ok((chunks, ended(self.end).await?))
    }
}

/// What a part came to, when that is known.
pub(crate) async fn ended(mut end: watch::Receiver<Ending>) -> Result<End, Broken> {
    let end = end.wait_for(Option::is_some).await.map_err(|_| Broken::Source)?;
    end.clone().unwrap_or(Err(Broken::Source))
}

/// Reads a part again.
pub(crate) struct Again {
    pub(crate) source: Pinned,
    pub(crate) offset: u64,
    pub(crate) room: Room,
    /// Told that a part had to be read again.
    pub(crate) is_needed: Arc<AtomicBool>,
}

/// A part that is sent while it is read, so nothing of it is kept. When that fails it is read again, in the same version of its
/// source, and kept until it has been taken.
pub struct LivePart {
    size: u64,
    /// As long as they were not sent.
    pieces: Mutex<Option<Pieces>>,
    /// For the pieces on their way.
    room: Mutex<Option<Arc<Option<OwnedSemaphorePermit>>>>,
    end: watch::Receiver<Ending>,
    /// Whether its checksum is the store's to tell.
    is_told: bool,
    again: Again,
    kept: OnceCell<(Payload, Option<OwnedSemaphorePermit>)>,
}

/// How a part is sent this time.
pub(crate) enum Content {
    /// As it comes; the checksum follows its last piece.
    Live(BoxStream<'static, Result<Piece, Broken>>),
    /// At once.
    Kept(Payload),
}

/// Of a part as it comes.
pub(crate) enum Piece {
    Bytes(Bytes),
    /// Nothing follows.
    End(Digests),
}

impl fmt::Debug for LivePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LivePart").field("size", &self.size).finish_non_exhaustive()
    }
}

impl LivePart {
    pub(crate) fn new(
        (size, is_told): (u64, bool),
        pieces: Pieces,
        room: Arc<Option<OwnedSemaphorePermit>>,
        again: Again,
    ) -> Self {
        let end = pieces.end.clone();
        let (pieces, room) = (Mutex::new(Some(pieces)), Mutex::new(Some(room)));
        Self { size, pieces, room, end, is_told, again, kept: OnceCell::new() }
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether its checksum is the store's to tell: then none follows it.
    pub(crate) fn is_told(&self) -> bool {
        self.is_told
    }

    /// What it came to.
    pub(crate) async fn end(&self) -> Result<End, StoreError> {
        ended(self.end.clone()).await.map_err(|broken| self.failed(broken))
    }

    /// What to send: the first time the pieces as they come, then all of them. An error is one of the source.
    pub(crate) async fn content(&self) -> Result<Content, StoreError> {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner).take();
        match pieces {
            Some(pieces) => Ok(Content::Live(as_they_come(pieces))),
            None => self.payload().await.map(Content::Kept).map_err(of_this_part),
        }
    }

    /// All of it, read again.
    pub(crate) async fn payload(&self) -> Result<Payload, StoreError> {
        let kept = self.kept.get_or_try_init(|| self.read_again()).await?;
        Ok(kept.0.clone())
    }

    async fn read_again(&self) -> Result<(Payload, Option<OwnedSemaphorePermit>), StoreError> {
        let Again { source, offset, room, is_needed } = &self.again;
        is_needed.store(true, Ordering::Relaxed);
        // Whoever waits for room holds none, or all would wait for each other.
        drop(self.pieces.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.room.lock().unwrap_or_else(PoisonError::into_inner).take());
        let End { digests, .. } = self.end().await?;
        let room = room.take(self.size).await;
        tracing::debug!(source.key, offset, size = self.size, "reading a part again, which could not be sent at first");
        let mut reader = source.open(ByteRange { from: *offset, to: Some(offset + self.size) }).await?;
        let mut parts = Parts::new(&mut reader);
        let (mut chunks, mut hashing) = (Chunks::default(), Hashing::new(1, Wanted::default()));
        while let left @ 1.. = self.size - chunks.len() {
            let piece = parts.next(left).await?;
            if piece.is_empty() {
                break;
            }
            hashing.update(&piece);
            chunks.push(piece);
        }
        let checksum = hashing.end_part().strongest();
        // Nothing was computed of one that the store was to tell the checksum of: then that of the whole object tells.
        match checksum.filter(|checksum| digests.agree_with(*checksum) != Some(false)) {
            Some(checksum) => Ok((Payload::new(chunks, checksum), room)),
            None => {
                Err(source.failed(StoreErrorKind::Corrupt, "it is another content than it was when it was first read"))
            }
        }
    }

    fn failed(&self, broken: Broken) -> StoreError {
        self.again.source.failed(StoreErrorKind::Cancelled, &broken.to_string())
    }

    /// Its checksum, where it was computed.
    pub(crate) async fn checksum(&self) -> Result<Option<Checksum>, StoreError> {
        Ok(self.end().await?.digests.checksum(crate::ChecksumAlgorithm::Crc64Nvme))
    }
}

/// That its source cannot be read now is no reason to give up the target as a whole.
fn of_this_part(error: StoreError) -> StoreError {
    if error.concerns_whole_bucket() && error.kind != StoreErrorKind::Cancelled {
        StoreError { detail: error.to_string(), kind: StoreErrorKind::Unavailable, ..error }
    } else {
        error
    }
}

fn as_they_come(pieces: Pieces) -> BoxStream<'static, Result<Piece, Broken>> {
    let pieces = stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        if let Some(piece) = pieces.next().await {
            return Some((Ok(Piece::Bytes(piece)), Some(pieces)));
        }
        let end = ended(pieces.end).await;
        Some((end.map(|end| Piece::End(end.digests)), None))
    });
    pieces.fuse().boxed()
}
