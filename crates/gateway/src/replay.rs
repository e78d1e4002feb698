//! Bodies that go on as they come from a client, and of which what came is kept for a while: so a request can be sent once more although
//! nobody can say when it ends, as with gRPC.

use std::mem::take;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};

use crate::body::{BodyError, Streamed};

/// So many bytes of each body are kept: the messages of most calls.
const MOST_KEPT: usize = 1 << 20;

/// A body that is kept until this is dropped.
#[derive(Debug)]
pub(crate) struct Replay(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    body: Streamed,
    came: Vec<Piece>,
    /// How many bytes these are.
    size: usize,
    /// The next of them to be read.
    next: usize,
    /// All that came is still here.
    is_whole: bool,
    /// It will not be asked for again.
    is_let_go: bool,
    has_ended: bool,
    /// The reader that has the body now.
    turn: u32,
    waits: Option<Waker>,
}

#[derive(Clone, Debug)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::data(data),
            Piece::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

/// Reads a body from its beginning, until another one does.
#[derive(Debug)]
pub(crate) struct Reader {
    state: Arc<Mutex<State>>,
    turn: u32,
}

/// What may be read once more.
#[derive(Debug)]
pub(crate) struct Again(Arc<Mutex<State>>);

impl Replay {
    pub(crate) fn new(body: Streamed) -> Self {
        Self(Arc::new(Mutex::new(State {
            body,
            came: Vec::new(),
            size: 0,
            next: 0,
            is_whole: true,
            is_let_go: false,
            has_ended: false,
            turn: 0,
            waits: None,
        })))
    }

    /// Whether it can be read from its beginning.
    pub(crate) fn is_whole(&self) -> bool {
        locked(&self.0).is_whole
    }

    /// Reads it from its beginning; `None` if not all of it is here any more.
    pub(crate) fn reader(&self) -> Option<Reader> {
        reader(&self.0)
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let mut state = locked(&self.0);
        state.is_let_go = true;
        if state.next == state.came.len() {
            state.forget();
        }
    }
}

impl Again {
    pub(crate) fn reader(&self) -> Option<Reader> {
        reader(&self.0)
    }
}

// A panic while the lock is held ends one request.
fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reader(shared: &Arc<Mutex<State>>) -> Option<Reader> {
    let mut state = locked(shared);
    if !state.is_whole {
        return None;
    }
    state.turn += 1;
    state.next = 0;
    // Who has read it before is to see that it has not got it any more.
    if let Some(waits) = state.waits.take() {
        waits.wake();
    }
    Some(Reader { state: shared.clone(), turn: state.turn })
}

impl Reader {
    pub(crate) fn again(&self) -> Again {
        Again(self.state.clone())
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let state = locked(&self.state);
        // What is left of a length is no length of all.
        if state.came.is_empty() { state.body.size_hint() } else { SizeHint::default() }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = locked(&self.state);
        if state.turn != self.turn {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(piece) = state.came.get(state.next).cloned() {
            state.next += 1;
            return Poll::Ready(Some(Ok(piece.into())));
        }
        if state.has_ended {
            return Poll::Ready(None);
        }
        if state.is_let_go {
            state.forget();
        }
        state.poll(cx)
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.waits = Some(cx.waker().clone());
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => {
                self.has_ended = true;
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                self.keep(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.forget();
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        let piece = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Piece::Data(data.clone()),
            (None, Some(trailers)) => Piece::Trailers(trailers.clone()),
            (None, None) => return,
        };
        self.size += frame.data_ref().map_or(0, Bytes::len);
        if self.size > MOST_KEPT || self.is_let_go {
            self.forget();
        } else if self.is_whole {
            self.came.push(piece);
            self.next = self.came.len();
        }
    }

    fn forget(&mut self) {
        self.is_whole = false;
        self.next = 0;
        drop(take(&mut self.came));
    }
}
