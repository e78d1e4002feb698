//! What is noted of a request for the access log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, Method, StatusCode, Uri};

use crate::access_log::{AccessLog, Line, milliseconds};
use crate::backend::InFlight;
use crate::route::Route;
use crate::trace::TraceContext;

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
    pub(crate) status: StatusCode,
    pub(crate) first_byte: Duration,
    pub(crate) bytes: u64,
    /// All of the answer was passed on.
    pub(crate) has_ended: bool,
    pub(crate) error: Option<String>,
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
            status: StatusCode::OK,
            first_byte: Duration::ZERO,
            bytes: 0,
            has_ended: false,
            error: None,
        }
    }

    pub(crate) fn write(&self, log: &AccessLog, in_flight: Option<&InFlight>) {
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
            duration_ms: milliseconds_of(self.began.elapsed()),
            attempts: self.attempts,
            trace_id: &self.trace.trace_id(),
            error: self.error.as_deref().or(error),
        });
    }
}
