//! What is sent to an endpoint, and what is sent to a client.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::answer::Answer;
use crate::deadline::Overdue;
use crate::idle::Idle;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection broke, or what came over it was no HTTP.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// Nothing came for too long.
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    /// More came than may.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// All in all it took too long.
    #[error(transparent)]
    Overdue(#[from] Overdue),
}

/// A body has more bytes than its route takes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body of the request has more than the {0} bytes that its route takes")]
pub(crate) struct TooLarge(pub(crate) u64);

/// What a client sends.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// All of it is here: it can be sent again.
    Whole(Option<Bytes>),
    /// It comes from the client.
    Streamed(Box<Streamed>),
}

/// What a client sends as the body.
pub(crate) enum Content {
    /// All of it is here.
    Whole(Option<Bytes>),
    /// It comes from the client; `None` once a part of it was sent.
    Streamed(Option<RequestBody>),
}

impl Content {
    /// How many are here.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Whole(body) => body.as_ref().map_or(0, Bytes::len),
            Self::Streamed(_) => 0,
        }
    }
}

/// A body on its way from a client.
#[derive(Debug)]
pub(crate) struct Streamed {
    body: Incoming,
    idle: Idle,
    limit: Duration,
    /// Bytes that may still come, and that may come at all.
    left: u64,
    most: u64,
    progress: Progress,
}

/// How many pieces of a body were sent by now.
pub(crate) type Progress = Arc<AtomicU64>;

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(streamed) => Pin::new(&mut **streamed).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed(streamed) => streamed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Streamed(streamed) => streamed.body.size_hint(),
        }
    }
}

impl Streamed {
    /// At most so many bytes, and nothing longer than `limit` between two pieces.
    pub(crate) fn new(body: Incoming, limit: Duration, most: u64, progress: Progress) -> Self {
        Self { body, idle: Idle::new(limit), limit, left: most, most, progress }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                std::task::ready!(self.idle.poll_waited(cx));
                return Poll::Ready(Some(Err(BodyError::Idle(self.limit))));
            }
        };
        self.idle.came();
        let Some(frame) = frame.transpose()? else { return Poll::Ready(None) };
        let size = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(left) = self.left.checked_sub(size) else {
            return Poll::Ready(Some(Err(TooLarge(self.most).into())));
        };
        self.left = left;
        self.progress.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(frame)))
    }
}

/// What a client gets.
pub(crate) enum ResponseBody {
    /// What the gateway says itself.
    Own(Option<Bytes>),
    /// What an endpoint answers.
    Answer(Box<Answer>),
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Answer(answer) => answer.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Answer(answer) => answer.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Answer(answer) => answer.size_hint(),
        }
    }
}
