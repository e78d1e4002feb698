//! What is read once, chunk by chunk, and cut into parts.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::object_reader::Pinned;
use crate::Checksum;
use crate::content::{Digests, Hashing, Wanted};

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

/// Cuts what a reader gives into parts.
pub(crate) struct Parts<'a, R> {
    reader: &'a mut R,
    rest: Bytes,
    /// What was read before its turn, and follows `rest`.
    ahead: VecDeque<Bytes>,
    /// The room that the part takes which was read ahead.
    pub(super) room: Option<OwnedSemaphorePermit>,
    /// Whether the reader has given all: it is not asked again.
    is_read: bool,
}

impl<'a, R: ChunkReader> Parts<'a, R> {
    pub(crate) fn new(reader: &'a mut R) -> Self {
        Self { reader, rest: Bytes::new(), ahead: VecDeque::new(), room: None, is_read: false }
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, R::Error> {
        if let Some(chunk) = self.ahead.pop_front() {
            return Ok(Some(chunk));
        }
        if self.is_read {
            return Ok(None);
        }
        let chunk = self.reader.next_chunk().await?;
        self.is_read = chunk.is_none();
        Ok(chunk)
    }

    /// The next piece, of at most `most` bytes; an empty one only after the last. Small chunks are put together: they may be small
    /// pieces of much memory.
    pub(crate) async fn next(&mut self, most: u64) -> Result<Bytes, R::Error> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut small = BytesMut::new();
        while small.len() < most.min(KEPT_AS_IT_IS) {
            if self.rest.is_empty() {
                match self.next_chunk().await? {
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

    /// Whether nothing follows.
    pub(crate) async fn has_ended(&mut self) -> Result<bool, R::Error> {
        while self.rest.is_empty() {
            match self.next_chunk().await? {
                Some(chunk) => self.rest = chunk,
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Reads the first `most` bytes before their turn. Gives how many there are, when nothing follows them.
    pub(crate) async fn read_ahead(&mut self, most: u64) -> Result<Option<u64>, R::Error> {
        let (mut ahead, mut left) = (VecDeque::new(), most);
        while left > 0 {
            let piece = self.next(left).await?;
            if piece.is_empty() {
                break;
            }
            left -= piece.len() as u64;
            ahead.push_back(piece);
        }
        let has_ended = self.has_ended().await?;
        ahead.push_back(std::mem::take(&mut self.rest));
        self.ahead = ahead;
        Ok(has_ended.then_some(most - left))
    }

    /// Makes sure that nothing follows: only then has the reader confirmed all it gave.
    pub(crate) async fn end(&mut self) -> Result<(), R::Error> {
        while self.next_chunk().await?.is_some() {}
        Ok(())
    }

    /// What to read a part again by, where that can be done.
    pub(crate) fn pinned(&self) -> Option<Pinned> {
        self.reader.pinned()
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
