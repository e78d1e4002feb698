//! What came through an API server: an answer of the replica, or the API server's own word.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy;
use serde::Deserialize;
use serde_json::json;

/// What an API server says itself is shorter.
const LONGEST_STATUS: u64 = 16 * 1024;

/// What an API server says of a Service that it cannot speak to, and what is in it if not even a connection was made.
const BROKE: &str = "error trying to reach service";
const DIALLING: &str = ": dial ";

pub(super) type Answer = Either<Incoming, Full<Bytes>>;

/// A `Status` of the API `v1`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    kind: String,
    api_version: String,
    #[serde(default)]
    message: String,
}

/// Passes on what a replica answered. Where the API server itself refuses, it is the gateway's fault and not the client's.
pub(super) async fn of_service(cluster: &str, response: Response<Incoming>) -> Response<Answer> {
    if !may_be_its_own(&response) {
        return response.map(Either::Left);
    }
    let (head, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return unreachable(cluster, &error),
    };
    let own = serde_json::from_slice::<Status>(&body).ok();
    match own.filter(|status| status.kind == "Status" && status.api_version == "v1") {
        Some(status) => refused(cluster, head.status, &status.message),
        None => Response::from_parts(head, Either::Right(Full::new(body))),
    }
}

fn may_be_its_own(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_short = response.body().size_hint().upper().is_some_and(|bytes| bytes <= LONGEST_STATUS);
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    is_error && is_short && kind.starts_with(b"application/json")
}

/// 503 tells the gateway that the replica was not asked, and that another one may be.
fn refused(cluster: &str, status: StatusCode, message: &str) -> Response<Answer> {
    tracing::warn!(cluster, %status, message, "the API server does not pass requests on");
    let status = if was_asked(status, message) { StatusCode::BAD_GATEWAY } else { StatusCode::SERVICE_UNAVAILABLE };
    refusal(status, &format!("the API server of {cluster} does not pass it on: {message}"))
}

/// Whether the replica may have had the request. An API server says 503 of a connection that could not be made, and of one that broke
/// after the request was sent, with the words of its own library.
fn was_asked(status: StatusCode, message: &str) -> bool {
    use StatusCode as Is;
    match status {
        Is::UNAUTHORIZED | Is::FORBIDDEN | Is::NOT_FOUND | Is::TOO_MANY_REQUESTS => false,
        Is::SERVICE_UNAVAILABLE => message.contains(BROKE) && !message.contains(DIALLING),
        _ => true,
    }
}

/// The API server cannot be reached, or the way there broke.
pub(super) fn unreachable(cluster: &str, error: &(dyn std::error::Error + 'static)) -> Response<Answer> {
    let was_sent = !error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect);
    let why = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    let why = why.collect::<Vec<_>>().join(": ");
    tracing::warn!(cluster, why, "the API server cannot be reached");
    let status = if was_sent { StatusCode::BAD_GATEWAY } else { StatusCode::SERVICE_UNAVAILABLE };
    refusal(status, &format!("the API server of {cluster} cannot be reached: {why}"))
}

pub(super) fn refusal(status: StatusCode, message: &str) -> Response<Answer> {
    let error = json!({"error": {"message": message, "type": "gateway_error", "code": "api_server"}});
    let mut response = Response::new(Either::Right(Full::new(Bytes::from(error.to_string()))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_replica_may_have_had_is_not_said_to_be_undone() {
        for (status, message, expected) in [
            (403, "services \"m:80\" is forbidden: User cannot get resource \"services/proxy\"", false),
            (404, "services \"m\" not found", false),
            (503, "no endpoints available for service \"m:80\"", false),
            (503, "error trying to reach service: dial tcp 10.0.0.1:8080: connect: connection refused", false),
            (503, "error trying to reach service: EOF", true),
            (503, "error trying to reach service: read tcp 10.0.0.9:1->10.0.0.1:8080: connection reset by peer", true),
            (500, "the server was unable to return a response in time", true),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(was_asked(status, message), expected, "{message}");
        }
    }
}
