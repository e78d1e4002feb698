//! What is noted of a request for the access log and the metrics. However a request ends, its record is dropped then, and says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use skyfleet_balance::Failure;

use crate::access_log::{Line, milliseconds};
use crate::backend::InFlight;
use crate::grpc;
use crate::limits::Charge;
use crate::metrics::Outcome;
use crate::route::Route;
use crate::trace::TraceContext;
use crate::usage::Tokens;
use crate::worker::Worker;

/// What the log says of a request whose client left before an answer began, as that of NGINX does.
const CLIENT_LEFT: u16 = 499;

pub(crate) struct Record {
    pub(crate) worker: Arc<Worker>,
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
    /// The endpoint that was asked last counts it.
    pub(crate) in_flight: Option<InFlight>,
    /// Of the answer, once there is one.
    pub(crate) status: Option<StatusCode>,
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
    /// How that went, which its status of HTTP does not say.
    pub(crate) grpc_status: Option<u8>,
}

impl Record {
    pub(crate) fn new(
        worker: Arc<Worker>,
        client: SocketAddr,
        (method, uri): (Method, Uri),
        trace: TraceContext,
    ) -> Self {
        Self {
            worker,
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
            in_flight: None,
            status: None,
            first_byte: Duration::ZERO,
            bytes: 0,
            has_ended: false,
            error: None,
            refused: None,
            charge: None,
            prompt_tokens: 0,
            tokens: None,
            is_grpc: false,
            grpc_status: None,
        }
    }

    /// The endpoint that is asked has failed.
    pub(crate) fn failed(&self, failure: Failure) {
        if let Some(in_flight) = &self.in_flight {
            in_flight.failed(failure);
        }
    }

    /// Takes from headers or trailers of the answer how a call of gRPC went.
    pub(crate) fn see(&mut self, headers: &HeaderMap) {
        if self.is_grpc {
            self.grpc_status = grpc::status(headers);
        }
    }

    fn end(&mut self) {
        let duration = self.began.elapsed();
        if let Some(charge) = self.charge.take() {
            // Without an endpoint that was asked, or where the gateway says no in its place, nothing was used.
            charge.settle(self.in_flight.as_ref().map(|_| self.used()));
        }
        let metrics = &self.worker.metrics;
        if let Some(code) = self.refused {
            metrics.refused(code);
        }
        if self.status.is_none() {
            metrics.counters.client_left();
        }
        if let Some(in_flight) = &self.in_flight {
            let outcome = match (&self.error, self.status) {
                (Some(_), _) => Outcome::Broken,
                (None, Some(status)) if self.has_ended => Outcome::Status(status.as_u16()),
                (None, _) => Outcome::Cancelled,
            };
            let first_byte = self.status.map(|_| self.first_byte);
            in_flight.metrics().ended(&outcome, (self.attempts, first_byte, duration), self.tokens);
            if let (Some(route), Some(status @ 1..)) = (&self.route, self.grpc_status) {
                metrics.counters.call_failed(&route.config.name, in_flight.backend(), status);
            }
        }
        self.write(duration);
    }

    /// Tokens of prompt and answer, as far as they are known.
    fn used(&self) -> u64 {
        let Tokens { prompt_tokens, completion_tokens } = self.tokens.unwrap_or_default();
        if prompt_tokens == 0 { self.prompt_tokens + completion_tokens } else { prompt_tokens + completion_tokens }
    }

    fn write(&self, duration: Duration) {
        let in_flight = self.in_flight.as_ref();
        let milliseconds_of = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
        let error = if self.has_ended { None } else { Some("the client went away") };
        self.worker.log.write(&Line {
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
            status: self.status.map_or(CLIENT_LEFT, |status| status.as_u16()),
            grpc_status: self.grpc_status,
            bytes: self.bytes,
            first_byte_ms: milliseconds_of(self.status.map(|_| self.first_byte).unwrap_or_default()),
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

impl Drop for Record {
    fn drop(&mut self) {
        self.end();
    }
}
