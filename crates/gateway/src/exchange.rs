//! One request to one endpoint, up to the head of its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use skyfleet_balance::Failure;
use tokio::time::sleep;

use crate::body::{BodyError, Progress, RequestBody, TooLarge};
use crate::causes::WithCauses;
use crate::config::{Endpoint, Protocol, Timeouts};
use crate::connections::{Connection, NotConnected, connect};
use crate::headers;
use crate::http2;
use crate::upstream::Upstream;
use crate::worker::Worker;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    /// The endpoint closed a connection that was kept, which is no fault of it.
    #[error("the connection was closed before the answer")]
    Closed,
    #[error("the connection broke before the answer: {}", WithCauses(.0))]
    Broken(hyper::Error),
    /// The endpoint says so, as when it closes a connection of HTTP/2 after some time: no fault of it.
    #[error("it did not look at the request, and is closing the connection")]
    NotProcessed,
    /// What the client sends is late, too much, or breaks off.
    #[error("{0}")]
    Request(String),
    /// What the client sends turned out to be more than it may.
    #[error(transparent)]
    TooLarge(TooLarge),
    #[error("no answer after {0:?}")]
    TimedOut(Duration),
}

impl ExchangeError {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::NotConnected(_) => Failure::Connect,
            Self::NotProcessed => Failure::Overloaded,
            Self::Closed | Self::Broken(_) => Failure::Reset,
            Self::Request(_) | Self::TooLarge(_) => Failure::Cancelled,
            Self::TimedOut(_) => Failure::Timeout,
        }
    }
}

/// A request without an answer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) error: ExchangeError,
    /// The request, if nothing of it was sent.
    pub(crate) unsent: Option<Box<Request<RequestBody>>>,
}

/// Sends a request over a connection that is there, or a new one. A connection that was kept may have been closed in this moment: if
/// nothing of the request was sent, another one is taken.
pub(crate) async fn exchange(
    worker: &Worker,
    endpoint: &Arc<Endpoint>,
    mut request: Request<RequestBody>,
    (timeouts, progress): (&Timeouts, &Progress),
    upstream: Option<&Upstream>,
) -> Result<(Response<Incoming>, Connection), Unanswered> {
    headers::ask_by_name(request.headers_mut(), endpoint, upstream.is_some_and(|upstream| upstream.tls.is_some()));
    if let Some(upstream) = upstream.filter(|upstream| upstream.protocol == Protocol::Http2) {
        let connections = &worker.connections.multiplexed;
        return Box::pin(http2::exchange(connections, endpoint, request, (timeouts, progress), upstream)).await;
    }
    loop {
        let kept = worker.connections.take(endpoint, upstream);
        let is_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            // Seldom needed, and large: what each request carries along stays small without it.
            None => match Box::pin(connect(endpoint, upstream, (timeouts.connect, &worker.relays))).await {
                Ok(connection) => connection,
                Err(error) => return Err(Unanswered { error: error.into(), unsent: Some(Box::new(request)) }),
            },
        };
        let sending = connection.try_send_request(request);
        match answered(sending, (timeouts.first_byte, progress)).await {
            Ok(response) => return Ok((response, Connection::Http1(connection, upstream.map(|upstream| upstream.id)))),
            Err(Unanswered { unsent: Some(unsent), .. }) if is_kept => request = *unsent,
            Err(Unanswered { error: ExchangeError::Broken(error), unsent })
                if is_kept && error.is_incomplete_message() =>
            {
                return Err(Unanswered { error: ExchangeError::Closed, unsent });
            }
            Err(unanswered) => return Err(unanswered),
        }
    }
}

/// Waits for the head of an answer.
pub(crate) async fn answered(
    sending: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
    (limit, progress): (Duration, &Progress),
) -> Result<Response<Incoming>, Unanswered> {
    let mut answer = std::pin::pin!(sending);
    let mut sent = progress.load(Ordering::Relaxed);
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer.map_err(|mut error| {
                let unsent = error.take_message().map(Box::new);
                Unanswered { error: of(error.into_error()), unsent }
            }),
            () = sleep(limit) => {}
        }
        // As long as the request is on its way, its answer is not late.
        let now = progress.load(Ordering::Relaxed);
        if now == sent {
            return Err(Unanswered { error: ExchangeError::TimedOut(limit), unsent: None });
        }
        sent = now;
    }
}

fn of(error: hyper::Error) -> ExchangeError {
    if error.is_user() {
        let source = std::error::Error::source(&error);
        if let Some(BodyError::TooLarge(most)) = source.and_then(|source| source.downcast_ref()) {
            return ExchangeError::TooLarge(*most);
        }
        let why = source.map_or_else(|| error.to_string(), ToString::to_string);
        return ExchangeError::Request(format!("the body of the request did not come: {why}"));
    }
    http2::of(error)
}
