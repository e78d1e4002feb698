//! What becomes of an attempt.

use std::sync::Arc;

use http::Request;
use skyfleet_balance::Failure;

use crate::answered::Answered;
use crate::body::{Progress, RequestBody};
use crate::config::Endpoint;
use crate::deadline::Overdue;
use crate::exchange::{ExchangeError, Unanswered, exchange};
use crate::route::Route;
use crate::worker::Worker;

/// What became of an attempt.
pub(crate) enum Outcome {
    Answered(Box<Answered>),
    Failed(ExchangeError),
    /// It was not there when the request had to be over.
    Overdue(Overdue),
}

impl Outcome {
    /// What it says of the endpoint.
    pub(crate) fn failure(&self, is_client_sending: bool) -> Option<Failure> {
        match self {
            Self::Answered(answered) => answered.failure(),
            Self::Failed(error) => Some(error.failure()),
            // It may be the client that is slow.
            Self::Overdue(_) if is_client_sending => Some(Failure::Cancelled),
            Self::Overdue(_) => Some(Failure::Timeout),
        }
    }

    /// Whether no other endpoint would do better.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Overdue(_)) || self.is_good()
    }

    pub(crate) fn is_good(&self) -> bool {
        matches!(self.failure(false), None | Some(Failure::ClientError))
    }
}

/// Sends a request to an endpoint, and waits until the answer begins.
pub(crate) async fn ask(
    request: Request<RequestBody>,
    endpoint: &Arc<Endpoint>,
    (route, worker): (&Route, &Worker),
    progress: &Progress,
) -> Result<Box<Answered>, Unanswered> {
    let exchanged = exchange(worker, endpoint, request, (&route.config.timeouts, progress), route.upstream()).await?;
    let answered = Answered::of(exchanged, route).await;
    answered.map(Box::new).map_err(|error| Unanswered { error, unsent: None })
}
