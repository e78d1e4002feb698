//! Answers of the gateway's own, in the form in which OpenAI's clients expect errors.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::body::ResponseBody;
use crate::grpc;

/// Why a request gets no answer of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// For programs: the complete list is in docs/gateway.md.
    pub(crate) code: &'static str,
    /// For people: what, why, and what to do.
    pub(crate) message: String,
    /// Seconds after which it is worth to come again.
    pub(crate) retry_after: Option<u64>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    message: &'a str,
    r#type: &'static str,
    code: &'static str,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    pub(crate) fn response(&self) -> Response<ResponseBody> {
        let kind = if self.status.is_client_error() { "invalid_request_error" } else { "server_error" };
        let error = Error { message: &self.message, r#type: kind, code: self.code };
        let mut response = json(self.status, &Body { error });
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

impl Refusal {
    /// For clients of gRPC, which look at no status of HTTP.
    pub(crate) fn grpc_response(&self) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::Own(None));
        *response.headers_mut() = grpc::refusal(self.status, &self.message, self.retry_after);
        response
    }
}

/// An answer of the gateway's own.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<ResponseBody> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(ResponseBody::Own(Some(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
