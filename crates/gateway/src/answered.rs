//! The beginning of an answer: what it says of the endpoint, and how it is passed on.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use skyfleet_balance::Failure;
use tokio::time::timeout;

use crate::answer::Answer;
use crate::body::ResponseBody;
use crate::connections::Connection;
use crate::deadline::Deadline;
use crate::exchange::ExchangeError;
use crate::grpc;
use crate::headers;
use crate::openai;
use crate::proxy::refuse;
use crate::record::Record;
use crate::refusal::Refusal;
use crate::route::Route;
use crate::tunnel::tunnel;
use crate::usage::Meter;

/// An answer of which nothing was passed on yet.
pub(crate) struct Answered {
    response: Response<Incoming>,
    /// Of a stream of events, the first piece.
    first: Option<Frame<Bytes>>,
    /// That begins with an error.
    is_error: bool,
    connection: Connection,
}

impl Answered {
    /// Of a stream of events, the first piece is waited for: only with it the model has begun to answer.
    pub(crate) async fn of(
        (mut response, connection): (Response<Incoming>, Connection),
        route: &Route,
    ) -> Result<Self, ExchangeError> {
        if !(response.status().is_success() && is_event_stream(&response)) {
            return Ok(Self { response, first: None, is_error: false, connection });
        }
        let limit = route.config.timeouts.first_byte;
        let first = timeout(limit, response.body_mut().frame()).await.map_err(|_| ExchangeError::TimedOut(limit))?;
        let first = first.transpose().map_err(ExchangeError::Broken)?;
        let piece = first.as_ref().and_then(Frame::data_ref);
        let is_error = route.config.retries.on_first_frame_error && piece.is_some_and(|piece| openai::is_error(piece));
        Ok(Self { response, first, is_error, connection })
    }

    /// What it says of the endpoint.
    pub(crate) fn failure(&self) -> Option<Failure> {
        match self.response.status() {
            _ if self.is_error => Some(Failure::ServerError),
            StatusCode::OK if self.is_http2() => grpc::failure(self.response.headers()),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some(Failure::Overloaded),
            // It does what it was made for.
            StatusCode::NOT_IMPLEMENTED => Some(Failure::ClientError),
            status if status.is_server_error() => Some(Failure::ServerError),
            status if status.is_client_error() => Some(Failure::ClientError),
            _ => None,
        }
    }

    /// Whether another endpoint may well say otherwise. What is wrong with a request would take down one after the other.
    pub(crate) fn is_of_another_one(&self) -> bool {
        use StatusCode as Is;
        self.is_error
            || self.is_http2() && grpc::is_unavailable(self.response.headers())
            || matches!(self.response.status(), Is::BAD_GATEWAY | Is::SERVICE_UNAVAILABLE | Is::GATEWAY_TIMEOUT)
    }

    /// What is left of it, for who passes nothing on.
    pub(crate) fn into_parts(self) -> (Response<Incoming>, Connection) {
        (self.response, self.connection)
    }

    fn is_http2(&self) -> bool {
        matches!(self.connection, Connection::Http2(_))
    }

    /// Begins to pass it on.
    pub(crate) fn pass(
        self,
        upgrade: Option<(HeaderValue, OnUpgrade)>,
        route: &Route,
        mut record: Record,
    ) -> Response<ResponseBody> {
        let Self { mut response, first, connection, .. } = self;
        record.status = Some(response.status());
        record.see(response.headers());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some((protocol, client)) = upgrade else {
                let message = "the replica changed the protocol, which nobody had asked for";
                let refusal = Refusal::new(StatusCode::BAD_GATEWAY, "bad_answer", message);
                return refuse(&refusal, record);
            };
            let endpoint = hyper::upgrade::on(&mut response);
            tunnel((client, endpoint), record);
            return switched(response, protocol);
        }
        let meter = record.model.is_some().then(|| meter(&response)).flatten();
        headers::remove_of_one_connection(response.headers_mut());
        let (mut head, body) = response.into_parts();
        head.version = Version::HTTP_11;
        // What the connection to the endpoint was like is nothing to the client.
        head.extensions.clear();
        let limits = (route.config.timeouts.idle, Deadline::of(&record, route));
        let answer = Answer::new((first, body), limits, connection, (record, meter));
        Response::from_parts(head, ResponseBody::Answer(Box::new(answer)))
    }
}

/// Only what a model answers has tokens, and what is compressed is not looked into.
fn meter(response: &Response<Incoming>) -> Option<Meter> {
    let headers = response.headers();
    let is_plain = response.status().is_success() && !headers.contains_key(CONTENT_ENCODING);
    headers.get(CONTENT_TYPE).filter(|_| is_plain).and_then(|kind| Meter::of(kind.as_bytes()))
}

fn is_event_stream(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
}

/// Tells the client that its connection is another protocol's from now on.
fn switched(mut response: Response<Incoming>, protocol: HeaderValue) -> Response<ResponseBody> {
    headers::remove_of_one_connection(response.headers_mut());
    let mut answer = Response::new(ResponseBody::Own(None));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    std::mem::swap(answer.headers_mut(), response.headers_mut());
    headers::set_upgrade(answer.headers_mut(), protocol);
    answer
}
