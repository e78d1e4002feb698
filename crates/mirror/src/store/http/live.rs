use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use http_body::{Body, Frame, SizeHint};

use super::Chunks;

/// A request's body: at hand, or still on its way.
pub(crate) enum Outgoing {
    AtHand(Chunks),
    Live(LiveBody),
}

/// Why a body that is on its way ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CutShort {
    #[error("its source failed")]
    Source,
    #[error("nobody waits for the answer any more")]
    GivenUp,
}

type Bodies = BoxStream<'static, Result<Bytes, CutShort>>;

/// A body that is sent while it comes.
pub(crate) struct LiveBody {
    shared: Arc<Shared>,
    length: u64,
}

struct Shared {
    coming: Mutex<Coming>,
    /// Pieces that were sent.
    sent: AtomicU64,
    is_waiting: AtomicBool,
}

struct Coming {
    /// Nothing, once it was given up.
    bytes: Option<Bodies>,
    waker: Option<Waker>,
}

/// Where a body is: one that is elsewhere after a while, or waits for what it is made of, is not late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    sent: u64,
    pub(super) is_waiting: bool,
}

/// Holds a body that is on its way: it ends with this. A store may answer before it has all of it, and whoever gives the bytes
/// would wait for ever for the connection to take them.
pub(super) struct Held(Arc<Shared>);

impl LiveBody {
    /// Of so many bytes.
    pub(crate) fn new(length: u64, bytes: Bodies) -> Self {
        let coming = Mutex::new(Coming { bytes: Some(bytes), waker: None });
        Self {
            shared: Arc::new(Shared { coming, sent: AtomicU64::new(0), is_waiting: AtomicBool::new(false) }),
            length,
        }
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn hold(&self) -> Held {
        Held(self.shared.clone())
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutShort>>> {
        let mut coming = self.shared.coming();
        let Some(bytes) = &mut coming.bytes else { return Poll::Ready(Some(Err(CutShort::GivenUp))) };
        let next = bytes.poll_next_unpin(context);
        self.shared.is_waiting.store(next.is_pending(), Ordering::Relaxed);
        match next {
            Poll::Pending => coming.waker = Some(context.waker().clone()),
            Poll::Ready(_) => _ = self.shared.sent.fetch_add(1, Ordering::Relaxed),
        }
        next
    }
}

impl Shared {
    /// What a panic left behind is still what it was.
    fn coming(&self) -> MutexGuard<'_, Coming> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    pub(super) fn position(&self) -> Position {
        let (sent, is_waiting) = (&self.0.sent, &self.0.is_waiting);
        Position { sent: sent.load(Ordering::Relaxed), is_waiting: is_waiting.load(Ordering::Relaxed) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Coming { bytes, waker } = &mut *self.0.coming();
        *bytes = None;
        if let Some(waker) = waker.take() {
            waker.wake();
        }
    }
}

impl From<Chunks> for Outgoing {
    fn from(chunks: Chunks) -> Self {
        Self::AtHand(chunks)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = CutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match &mut *self {
            Self::AtHand(chunks) => Poll::Ready(chunks.pop().map(|chunk| Ok(Frame::data(chunk)))),
            Self::Live(live) => live.poll(context).map(|next| next.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::AtHand(chunks) if chunks.len() == 0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::AtHand(chunks) => chunks.len(),
            Self::Live(live) => live.length(),
        })
    }
}
