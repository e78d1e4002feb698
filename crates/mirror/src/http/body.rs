use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A request's body in pieces: a part of an object is sent with something around it and is not copied for that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chunks(VecDeque<Bytes>);

impl Chunks {
    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|chunk| chunk.len() as u64).sum()
    }
}

impl From<Bytes> for Chunks {
    fn from(bytes: Bytes) -> Self {
        [bytes].into()
    }
}

impl<const N: usize> From<[Bytes; N]> for Chunks {
    fn from(chunks: [Bytes; N]) -> Self {
        Self(chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect())
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}
