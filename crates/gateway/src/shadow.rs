//! Copies of requests to a further backend, to try it out. Nobody waits for them, and what it answers is thrown away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt as _;
use skyfleet_balance::split::Portion;
use skyfleet_balance::{Failure, NoEndpoint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::attempts::Outgoing;
use crate::backend::{Backend, InFlight};
use crate::body::{Progress, RequestBody};
use crate::config::{RouteConfig, ShadowConfig};
use crate::counters::{Copied, ShadowCounters};
use crate::metrics::Metrics;
use crate::openai;
use crate::outcome::ask;
use crate::route::Route;
use crate::status::ShadowStatus;
use crate::worker::Worker;

/// Tells that a request is a copy.
const MARK: HeaderName = HeaderName::from_static("skyfleet-shadow");
/// What the bodies of all copies of a route may have together at any time, in KiB.
const ROOM: usize = 64 * 1024;
/// What each copy takes of that at least, in KiB: so there are 128 at most.
const LEAST: usize = 512;
/// How long a copy and its answer may take.
const LONGEST: Duration = Duration::from_mins(10);
/// More bytes of an answer are not read.
const MOST_BYTES: usize = 64 << 20;

/// Where copies of a route's requests go.
pub(crate) struct Shadow {
    pub(crate) backend: Arc<Backend>,
    config: ShadowConfig,
    portion: Mutex<Portion>,
    room: Arc<Semaphore>,
    counters: ShadowCounters,
}

impl Shadow {
    /// As the route says it, with the backend that it has had.
    pub(crate) fn new(route: &RouteConfig, config: &ShadowConfig, before: Option<&Self>, metrics: &Metrics) -> Self {
        let name = &config.backend.name;
        let before = before.filter(|before| before.backend.name == *name);
        let new = || {
            // Its own figures are read by nobody: copies are counted apart from requests.
            let figures = Metrics::default().of_backend(&route.name, name);
            Arc::new(Backend::new(name, fastrand::Rng::new(), figures))
        };
        let backend = before.map_or_else(new, |before| before.backend.clone());
        backend.configure(route, &config.backend);
        let same = before.filter(|before| before.config.percent == config.percent);
        let portion = same.map(|before| *before.portion.lock().unwrap_or_else(PoisonError::into_inner));
        let room = before.map_or_else(|| Arc::new(Semaphore::new(ROOM)), |before| before.room.clone());
        Self {
            backend,
            config: config.clone(),
            portion: Mutex::new(portion.unwrap_or_else(|| Portion::new(config.percent, 100))),
            room,
            counters: metrics.counters.of_shadow(&route.name, name),
        }
    }

    pub(crate) fn status(&self) -> ShadowStatus {
        ShadowStatus { percent: self.config.percent, backend: self.backend.status(0) }
    }

    /// Where the next request's copy goes, if there is to be one and it has room.
    fn begin(&self, bytes: usize, affinity: Option<u64>) -> Option<(InFlight, OwnedSemaphorePermit)> {
        if !self.portion.lock().unwrap_or_else(PoisonError::into_inner).takes() {
            return None;
        }
        let size = u32::try_from(bytes.div_ceil(1024).max(LEAST)).unwrap_or(u32::MAX);
        let Ok(permit) = self.room.clone().try_acquire_many_owned(size) else {
            self.counters.count(Copied::Dropped);
            return None;
        };
        match self.backend.pick(affinity, &[]) {
            Ok(in_flight) => Some((in_flight, permit)),
            Err(why) => {
                let is_full = matches!(why, NoEndpoint::Full);
                self.counters.count(if is_full { Copied::Dropped } else { Copied::NoReplica });
                None
            }
        }
    }

    /// The copy of a request.
    fn mark(&self, request: Request<RequestBody>) -> Request<RequestBody> {
        let (mut head, mut body) = request.into_parts();
        head.headers.insert(MARK, HeaderValue::from_static("true"));
        if let (RequestBody::Whole(Some(bytes)), Some(model)) = (&mut body, &self.config.backend.model)
            && let Some(changed) = openai::with_model(bytes, model)
        {
            head.headers.insert(CONTENT_LENGTH, changed.len().into());
            *bytes = changed;
        }
        Request::from_parts(head, body)
    }
}

/// Sends a copy if it is this request's turn, and does not wait for it.
pub(crate) fn copy(route: &Arc<Route>, outgoing: &Outgoing, affinity: Option<u64>, worker: &Arc<Worker>) {
    let Some(shadow) = &route.shadow else { return };
    let Some((in_flight, permit)) = shadow.begin(outgoing.content().bytes(), affinity) else { return };
    let (request, route, worker) = (outgoing.copy(), route.clone(), worker.clone());
    tokio::spawn(async move {
        let Some(shadow) = &route.shadow else { return };
        let sent = send(shadow.mark(request), in_flight, &route, &worker);
        shadow.counters.count(timeout(LONGEST, sent).await.unwrap_or(Copied::CutOff));
        drop(permit);
    });
}

/// Sends a copy, and reads its answer to the end.
async fn send(request: Request<RequestBody>, in_flight: InFlight, route: &Route, worker: &Worker) -> Copied {
    let answered = match ask(request, &in_flight.endpoint, (route, worker), &Progress::default()).await {
        Ok(answered) => answered,
        Err(unanswered) => {
            in_flight.failed(unanswered.error.failure());
            return Copied::Failed;
        }
    };
    match answered.failure() {
        Some(failure) => in_flight.failed(failure),
        None => in_flight.first_byte(),
    }
    let (response, connection) = answered.into_parts();
    let (status, mut body) = (response.status(), response.into_body());
    let mut bytes = 0;
    while let Ok(frame) = timeout(route.config.timeouts.idle, body.frame()).await {
        match frame {
            Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, bytes::Bytes::len),
            Some(Err(_)) => {
                in_flight.failed(Failure::Reset);
                return Copied::Failed;
            }
            None => {
                worker.connections.keep(&in_flight.endpoint, connection);
                return Copied::Answered(status);
            }
        }
        if bytes > MOST_BYTES {
            break;
        }
    }
    Copied::CutOff
}
