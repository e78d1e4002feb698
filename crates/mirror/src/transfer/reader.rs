//! What is read once, chunk by chunk, and cut into parts.

use bytes::{Bytes, BytesMut};

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
