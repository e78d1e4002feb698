//! Brings an object to the thread that transforms it.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use skyfleet_transform::{Format, Piece, RangeSource, Source};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::text_piece::TextPiece;
use super::version::listed_version;
use super::{Making, Unmade};
use crate::cancel::cancellable;
use crate::content::{Hashing, Wanted};
use crate::pace::Pace;
use crate::transfer::Transfer;
use crate::transfer::object_reader::Pinned;
use crate::transfer::parallel_reader::{ParallelReader, Unread};
use crate::transfer::reader::ChunkReader;
use crate::{ByteRange, ObjectHead, ObjectSummary, Replica, Sha256, StoreError};

/// Chunks that wait for the thread.
const CHUNKS: usize = 4;

/// One version of an object, on its way to a transform.
pub(super) enum Input {
    Stream { reader: Box<ParallelReader>, to: Option<mpsc::Sender<Chunk>> },
    Text { piece: Box<TextPiece>, to: Option<mpsc::Sender<Chunk>> },
    Ranges { head: Box<ObjectHead>, ranges: Arc<Ranges>, piece: Option<Piece>, errors: mpsc::Receiver<StoreError> },
}

/// The last one is empty: what is cut short ends without it.
type Chunk = Bytes;

impl Input {
    pub(super) async fn open(
        source: &Replica,
        (listed, unmade): (&ObjectSummary, &Unmade),
        (making, transfer): (&Making, &Transfer),
    ) -> Result<Self, StoreError> {
        let (store, key, cancel) = (source.store.clone(), source.key(&unmade.key), transfer.cancel.clone());
        match unmade.cut() {
            Some(cut) if cut.format == Format::Parquet => {
                let version = listed_version(source, &unmade.key, listed, transfer).await?;
                return Ok(Self::ranges(version, Some(cut.piece), transfer));
            }
            Some(cut) => {
                let piece = TextPiece::open(source, (listed, unmade), cut, (making, transfer)).await?;
                return Ok(Self::Text { piece: Box::new(piece), to: None });
            }
            None if making.transform.as_ref().is_some_and(|transform| transform.reads_ranges(&unmade.key)) => {
                let head = cancellable(&cancel, store.place(), store.head(&key)).await?;
                let pinned = Pinned::of(store, key, &head, cancel)?;
                return Ok(Self::ranges((head, pinned), None, transfer));
            }
            None => {}
        }
        let unread = Unread { store, key, from: 0, size: listed.size };
        let reader = ParallelReader::open(unread, None, transfer.room_ahead(), cancel);
        Ok(Self::Stream { reader: Box::new(reader.await?.paced(transfer.pace.clone())), to: None })
    }

    fn ranges((head, pinned): (ObjectHead, Pinned), piece: Option<Piece>, transfer: &Transfer) -> Self {
        let (errors, received) = mpsc::channel(1);
        let (size, pace, runtime) = (head.size, transfer.pace.clone(), Handle::current());
        let ranges = Arc::new(Ranges { pinned, size, pace, runtime, errors });
        Self::Ranges { head: Box::new(head), ranges, piece, errors: received }
    }

    pub(super) fn head(&self) -> &ObjectHead {
        match self {
            Self::Stream { reader, .. } => reader.head(),
            Self::Text { piece, .. } => piece.head(),
            Self::Ranges { head, .. } => head,
        }
    }

    /// What the transform is to read, while [`Self::feed`] is polled.
    pub(super) fn source(&mut self) -> Source {
        match self {
            Self::Stream { to, .. } | Self::Text { to, .. } => {
                let (sender, chunks) = mpsc::channel(CHUNKS);
                *to = Some(sender);
                Source::Stream(Box::new(Chunks { coming: chunks, chunk: Bytes::new(), has_ended: false }))
            }
            Self::Ranges { ranges, piece: Some(piece), .. } => Source::Piece(ranges.clone(), *piece),
            Self::Ranges { ranges, piece: None, .. } => Source::Ranges(ranges.clone()),
        }
    }

    /// Brings the bytes until nobody takes any more; gives their SHA-256, where all of the object's were brought.
    ///
    /// # Errors
    /// The source cannot be read, or gives another content than it tells of.
    pub(super) async fn feed(self) -> Result<Option<Sha256>, StoreError> {
        match self {
            Self::Stream { mut reader, to } => match to {
                Some(to) => feed(&mut *reader, &to).await,
                None => Ok(None),
            },
            Self::Text { mut piece, to } => match to {
                Some(to) => feed(&mut *piece, &to).await.map(|_| None),
                None => Ok(None),
            },
            Self::Ranges { ranges, mut errors, .. } => {
                // The transform has the other one, until it ends.
                drop(ranges);
                errors.recv().await.map_or(Ok(None), Err)
            }
        }
    }
}

async fn feed(
    reader: &mut impl ChunkReader<Error = StoreError>,
    to: &mpsc::Sender<Chunk>,
) -> Result<Option<Sha256>, StoreError> {
    let wanted = Wanted { sha256: true, ..Wanted::default() }.to_compare_with(reader.announced());
    let mut hashing = Hashing::new(1, wanted);
    while let Some(chunk) = reader.next_chunk().await? {
        hashing.update(&chunk);
        if !chunk.is_empty() && to.send(chunk).await.is_err() {
            return Ok(None);
        }
    }
    let digests = hashing.finish();
    // Only now: nothing is made of what another content would have given.
    reader.confirm(&digests)?;
    let _has_failed = to.send(Chunk::new()).await;
    Ok(digests.sha256)
}

/// Read from by the thread.
struct Chunks {
    coming: mpsc::Receiver<Chunk>,
    chunk: Bytes,
    has_ended: bool,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() && !self.has_ended {
            let chunk = self.coming.blocking_recv();
            self.chunk = chunk.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the source failed"))?;
            self.has_ended = self.chunk.is_empty();
        }
        let length = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// One version of an object, of which any part can be read.
pub(super) struct Ranges {
    pinned: Pinned,
    size: u64,
    pace: Option<Arc<Pace>>,
    runtime: Handle,
    /// Why it could not be read: the transform only knows that. Closed when nobody reads any more.
    errors: mpsc::Sender<StoreError>,
}

impl Ranges {
    async fn bytes(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let mut reader = self.pinned.open(ByteRange { from: range.start, to: Some(range.end) }).await?;
        reader.pace.clone_from(&self.pace);
        let mut bytes = BytesMut::new();
        while let Some(chunk) = reader.next_chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}

impl RangeSource for Ranges {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.runtime.block_on(self.bytes(range)).map_err(|error| {
            // The first one says why.
            let _is_known = self.errors.try_send(error);
            io::Error::other("the source failed")
        })
    }
}
