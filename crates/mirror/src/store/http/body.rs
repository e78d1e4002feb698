use std::collections::VecDeque;

use bytes::Bytes;

/// A request's body in pieces: a part of an object is sent with something around it and is not copied for that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chunks(VecDeque<Bytes>);

impl Chunks {
    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// The pieces, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.0.iter()
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.0.push_back(chunk);
        }
    }

    /// Takes the first piece.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.0.pop_front()
    }

    /// These, with something before and after them.
    pub(crate) fn between(mut self, before: Bytes, after: Bytes) -> Self {
        self.0.push_front(before);
        self.0.push_back(after);
        self
    }
}

impl From<Bytes> for Chunks {
    fn from(bytes: Bytes) -> Self {
        let mut chunks = Self::default();
        chunks.push(bytes);
        chunks
    }
}
