//! Reads a large object by several connections at once: stores bound each of them, and a distant one is slow by itself.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, Receiver};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::object_reader::{ObjectReader, Pinned};
use super::reader::ChunkReader;
use super::room::Room;
use crate::content::Digests;
use crate::pace::Pace;
use crate::{ByteRange, Checksum, ObjectHead, ObjectStore, StoreError, StoreErrorKind};

const MIB: u64 = 1024 * 1024;

/// What has no more left than this is read by one connection: of Amazon S3, which gives each some 80 MB a second, in two seconds.
const ONE_CONNECTION: u64 = 128 * MIB;

/// What each connection reads at a time. To ask for it costs the time of an answer; what is read ahead lies in memory.
const RANGE: u64 = 8 * MIB;

/// Chunks that wait of a range for which there is room: as many as it can have, unless they are tiny.
const MANY: usize = 8 * 1024;
/// Chunks that wait of one for which there is none: its request is answered, and the rest waits in the connection.
const FEW: usize = 1;

/// An object that is to be read.
pub(crate) struct Unread {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) key: String,
    /// Where to begin.
    pub(crate) from: u64,
    /// Bytes of the whole object, as far as is known before it is opened.
    pub(crate) size: u64,
}

/// Reads one version of an object in order. Ranges that follow are read ahead, each by a connection of its own, as far as there is
/// room for them; one always is.
pub(crate) struct ParallelReader {
    /// Knows the version, and reads the first range.
    first: ObjectReader,
    is_first_read: bool,
    /// Those after it, in order.
    coming: VecDeque<Coming>,
    /// Where the bytes begin that nobody reads yet.
    next: u64,
    ahead: Option<(Pinned, Room)>,
}

/// A range that is read ahead.
struct Coming {
    chunks: Receiver<Result<Bytes, StoreError>>,
    /// Bytes that did not come yet.
    left: u64,
    _room: Option<OwnedSemaphorePermit>,
    /// Ends with this.
    _task: AbortOnDropHandle<()>,
}

impl ParallelReader {
    /// Opens the object; with an ETag only that version. Without `room` for what is read ahead, by one connection.
    pub(crate) async fn open(
        Unread { store, key, from, size }: Unread,
        etag: Option<&str>,
        room: Option<Room>,
        cancel: CancellationToken,
    ) -> Result<Self, StoreError> {
        let open = |range| ObjectReader::open(store.clone(), key.clone(), range, etag, cancel.clone());
        let room = room.filter(|_| store.bounds_connections() && size.saturating_sub(from) > ONE_CONNECTION);
        if let Some(room) = room {
            match open(ByteRange { from, to: Some(from + RANGE) }).await {
                Ok(first) => {
                    // Without an ETag nothing tells that ranges are of one version.
                    if let Some(pinned) = first.pinned() {
                        return Ok(Self::begin(first, Some((pinned, room))));
                    }
                }
                // What has become empty has no range.
                Err(error) if error.kind == StoreErrorKind::Rejected => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::begin(open(ByteRange::starting_at(from)).await?, None))
    }

    fn begin(first: ObjectReader, ahead: Option<(Pinned, Room)>) -> Self {
        let next = first.end();
        Self { first, is_first_read: false, coming: VecDeque::new(), next, ahead }
    }

    /// With what its bytes have to wait for. What is read ahead would not: there must be no room for that.
    pub(crate) fn paced(mut self, pace: Option<Arc<Pace>>) -> Self {
        self.first.pace = pace;
        self
    }

    /// What the store says about the version that is read.
    pub(crate) fn head(&self) -> &ObjectHead {
        self.first.head()
    }

    fn read_ahead(&mut self) {
        let Some((pinned, room)) = &self.ahead else { return };
        let size = self.first.head().size;
        // Of those that come, the first is the one that is being read, once the object's first has been.
        let being_read = usize::from(self.is_first_read);
        while self.next < size {
            let end = size.min(self.next + RANGE);
            let room = room.try_take(end - self.next);
            if room.is_none() && self.coming.len() > being_read {
                break;
            }
            self.coming.push_back(Coming::begin(pinned.clone(), self.next, end, room));
            self.next = end;
        }
    }
}

impl Coming {
    fn begin(pinned: Pinned, from: u64, to: u64, room: Option<OwnedSemaphorePermit>) -> Self {
        let (sender, chunks) = mpsc::channel(if room.is_some() { MANY } else { FEW });
        let task = tokio::spawn(async move {
            let read = async {
                let mut reader = pinned.open(ByteRange { from, to: Some(to) }).await?;
                while let Some(chunk) = reader.next_chunk().await? {
                    if sender.send(Ok(chunk)).await.is_err() {
                        break;
                    }
                }
                Ok(())
            };
            if let Err(error) = read.await {
                // Nobody listens where the object is given up.
                let _unheard = sender.send(Err(error)).await;
            }
        });
        Self { chunks, left: to - from, _room: room, _task: AbortOnDropHandle::new(task) }
    }
}

impl ChunkReader for ParallelReader {
    type Error = StoreError;

    fn announced(&self) -> Option<Checksum> {
        self.first.announced()
    }

    fn pinned(&self) -> Option<Pinned> {
        self.first.pinned()
    }

    fn confirm(&self, read: &Digests) -> Result<(), StoreError> {
        self.first.confirm(read)
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            self.read_ahead();
            if !self.is_first_read {
                match self.first.next_chunk().await? {
                    Some(chunk) => return Ok(Some(chunk)),
                    None => self.is_first_read = true,
                }
            }
            let Some(range) = self.coming.front_mut() else { return Ok(None) };
            match range.chunks.recv().await.transpose()? {
                Some(chunk) => {
                    range.left -= chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                None if range.left == 0 => _ = self.coming.pop_front(),
                None => return Err(self.first.error(StoreErrorKind::Unreachable, "the reader of a range has ended")),
            }
        }
    }
}
