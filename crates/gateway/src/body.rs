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
use crate::replay::{self, Reader, Replay};

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
    /// Another attempt goes on with it.
    #[error("it is sent to another replica")]
    Superseded,
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
    /// The same, and what came is kept.
    Kept(Reader),
}

/// What a client sends as the body.
pub(crate) enum Content {
    /// All of it is here.
    Whole(Option<Bytes>),
    /// It comes from the client; `None` once a part of it was sent.
    Streamed(Option<RequestBody>),
    /// It comes from the client, and what came is kept for a while.
    Kept(Replay),
}

impl Content {
    /// How many are here.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Whole(body) => body.as_ref().map_or(0, Bytes::len),
            Self::Streamed(_) | Self::Kept(_) => 0,
        }
    }

    /// Whether the client may still be sending it.
    pub(crate) fn is_coming(&self) -> bool {
        !matches!(self, Self::Whole(_))
    }
}

/// A body on its way from a client.
#[derive(Debug)]
pub(crate) struct Streamed {
    body: Incoming,
    /// Without, it may stand still as long as the answer does not.
    idle: Option<Idle>,
    limit: Duration,
    /// Bytes that may still come, and that may come at all.
    left: u64,
    most: u64,
    progress: Progress,
}

/// How many pieces of a body were sent by now.
pub(crate) type Progress = Arc<AtomicU64>;

impl RequestBody {
    /// What it is made of, if all of that can be sent once more.
    pub(crate) fn again(&self) -> Option<Again> {
        match self {
            Self::Whole(bytes) => Some(Again::Whole(bytes.clone())),
            Self::Streamed(_) => None,
            Self::Kept(reader) => Some(Again::Kept(reader.again())),
        }
    }
}

/// A body that can be sent once more.
pub(crate) enum Again {
    Whole(Option<Bytes>),
    Kept(replay::Again),
}

impl Again {
    /// `None` if not all of it is here any more.
    pub(crate) fn body(self) -> Option<RequestBody> {
        match self {
            Self::Whole(bytes) => Some(RequestBody::Whole(bytes)),
            Self::Kept(again) => again.reader().map(RequestBody::Kept),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(streamed) => Pin::new(&mut **streamed).poll_frame(cx),
            Self::Kept(reader) => reader.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed(streamed) => streamed.body.is_end_stream(),
            // It is known to have something, and when it has ended it says so.
            Self::Kept(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Streamed(streamed) => streamed.body.size_hint(),
            Self::Kept(reader) => reader.size_hint(),
        }
    }
}

impl Streamed {
    /// At most so many bytes, and nothing longer than `limit` between two pieces.
    pub(crate) fn new(body: Incoming, limit: Duration, most: u64, progress: Progress) -> Self {
        Self { body, idle: Some(Idle::new(limit)), limit, left: most, most, progress }
    }

    /// One that may stand still for any time.
    pub(crate) fn patient(body: Incoming, most: u64, progress: Progress) -> Self {
        Self { body, idle: None, limit: Duration::ZERO, left: most, most, progress }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let Some(idle) = &mut self.idle else { return Poll::Pending };
                std::task::ready!(idle.poll_waited(cx));
                return Poll::Ready(Some(Err(BodyError::Idle(self.limit))));
            }
        };
        if let Some(idle) = &mut self.idle {
            idle.came();
        }
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
