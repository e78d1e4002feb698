//! What is noted of a request for the access log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, Method, StatusCode, Uri};

use crate::access_log::{AccessLog, Line, milliseconds};
use crate::backend::InFlight;
use crate::limits::Charge;
use crate::metrics::Outcome;
use crate::route::Route;
use crate::trace::TraceContext;
use crate::usage::Tokens;
use crate::worker::Worker;

pub(crate) struct Record {
    came: SystemTime,
    pub(crate) began: Instant,
    client: SocketAddr,
    method: Method,
    uri: Uri,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) model: Option<String>,
    pub(crate) route: Option<Arc<Route>>,
    pub(crate) trace: TraceContext,
    pub(crate) attempts: u32,
    /// A second endpoint was asked while the first had not answered.
    pub(crate) is_hedged: bool,
    pub(crate) status: StatusCode,
    pub(crate) first_byte: Duration,
    pub(crate) bytes: u64,
    /// All of the answer was passed on.
    pub(crate) has_ended: bool,
    pub(crate) error: Option<String>,
    /// The code of the gateway's own answer.
    pub(crate) refused: Option<&'static str>,
    /// What was reserved for it.
    pub(crate) charge: Option<Charge>,
    /// What its prompt is likely to have.
    pub(crate) prompt_tokens: u64,
    pub(crate) tokens: Option<Tokens>,
    /// A call of gRPC, which is refused as one.
    pub(crate) is_grpc: bool,
}

impl Record {
    pub(crate) fn new(client: SocketAddr, (method, uri): (Method, Uri), trace: TraceContext) -> Self {
        Self {
            came: SystemTime::now(),
            began: Instant::now(),
            client,
            method,
            uri,
            host: None,
            model: None,
            route: None,
            trace,
            attempts: 0,
            is_hedged: false,
            status: StatusCode::OK,
            first_byte: Duration::ZERO,
            bytes: 0,
            has_ended: false,
            error: None,
            refused: None,
            charge: None,
            prompt_tokens: 0,
            tokens: None,
            is_grpc: false,
        }
    }

    /// Notes that the request has ended, after an answer of an endpoint or without.
    pub(crate) fn end(&mut self, worker: &Worker, in_flight: Option<&InFlight>) {
        let duration = self.began.elapsed();
        if let Some(charge) = self.charge.take() {
            charge.settle(in_flight.map(|_| self.used()));
        }
        if let Some(code) = self.refused {
            worker.metrics.refused(code);
        }
        if let Some(in_flight) = in_flight {
            let outcome = match &self.error {
                None if self.has_ended => Outcome::Status(self.status.as_u16()),
                None => Outcome::Cancelled,
                Some(_) => Outcome::Broken,
            };
            in_flight.metrics().ended(&outcome, (self.attempts, self.first_byte, duration), self.tokens);
        }
        self.write(&worker.log, in_flight, duration);
    }

    /// Tokens of prompt and answer, as far as they are known.
    fn used(&self) -> u64 {
        let Tokens { prompt_tokens, completion_tokens } = self.tokens.unwrap_or_default();
        if prompt_tokens == 0 { self.prompt_tokens + completion_tokens } else { prompt_tokens + completion_tokens }
    }

    fn write(&self, log: &AccessLog, in_flight: Option<&InFlight>, duration: Duration) {
        let milliseconds_of = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        let error = if self.has_ended { None } else { Some("the client went away") };
        log.write(&Line {
            time: milliseconds(self.came),
            client: Some(self.client),
            method: self.method.as_str(),
            host: self.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default(),
            path: self.uri.path(),
            model: self.model.as_deref(),
            route: self.route.as_ref().map(|route| route.config.name.as_str()),
            backend: in_flight.map(InFlight::backend),
            member_cluster: in_flight.map(|in_flight| in_flight.endpoint.cluster.as_str()),
            endpoint: in_flight.map(|in_flight| in_flight.endpoint.name.as_str()),
            status: self.status.as_u16(),
            bytes: self.bytes,
            first_byte_ms: milliseconds_of(self.first_byte),
            duration_ms: milliseconds_of(duration),
            attempts: self.attempts,
            hedged: self.is_hedged,
            prompt_tokens: self.tokens.map(|tokens| tokens.prompt_tokens),
            completion_tokens: self.tokens.map(|tokens| tokens.completion_tokens),
            trace_id: &self.trace.trace_id(),
            error: self.error.as_deref().or(error),
        });
    }
}
