//! What a gateway has to know of gRPC (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): how calls are told, and how
//! they fail. Pure.

use std::fmt::Write as _;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use skyfleet_balance::Failure;

/// How a call went, in headers or trailers of an answer.
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// When to come again, for clients that call once more by themselves.
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

const CANCELLED: u8 = 1;
const UNKNOWN: u8 = 2;
const INVALID_ARGUMENT: u8 = 3;
const DEADLINE_EXCEEDED: u8 = 4;
const RESOURCE_EXHAUSTED: u8 = 8;
const UNIMPLEMENTED: u8 = 12;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const DATA_LOSS: u8 = 15;

/// The names of statuses, in their order.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// What is none of them.
const NO_NAME: &str = "other";

/// Whether a request is a call of gRPC. What browsers send (`application/grpc-web`) is not.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// What headers or trailers of an answer say of the endpoint.
pub(crate) fn failure(headers: &HeaderMap) -> Option<Failure> {
    match status(headers)? {
        // It says that nothing was done, as if it had not been there.
        UNAVAILABLE => Some(Failure::Connect),
        UNKNOWN | INTERNAL | DATA_LOSS => Some(Failure::ServerError),
        RESOURCE_EXHAUSTED => Some(Failure::Overloaded),
        CANCELLED => Some(Failure::Cancelled),
        0 => None,
        // The deadline is the client's own, and so is most else.
        _ => Some(Failure::ClientError),
    }
}

/// Whether another endpoint may well say otherwise.
pub(crate) fn is_unavailable(headers: &HeaderMap) -> bool {
    status(headers) == Some(UNAVAILABLE)
}

/// How a call went, as far as these headers or trailers say it.
pub(crate) fn status(headers: &HeaderMap) -> Option<u8> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// The name of a status.
pub(crate) fn name(status: u8) -> &'static str {
    NAMES.get(usize::from(status)).copied().unwrap_or(NO_NAME)
}

/// All names that there are.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain([NO_NAME])
}

/// The headers of an answer that is nothing but a failure, from a status of HTTP.
pub(crate) fn refusal(status: StatusCode, message: &str, retry_after: Option<u64>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, u16::from(of_http(status)).into());
    if let Ok(message) = HeaderValue::try_from(encoded(message)) {
        headers.insert(GRPC_MESSAGE, message);
    }
    if let Some(seconds) = retry_after {
        headers.insert(PUSHBACK, seconds.saturating_mul(1000).into());
    }
    headers
}

/// What a client of gRPC is told instead of a status of HTTP.
pub(crate) fn of_http(status: StatusCode) -> u8 {
    use StatusCode as Is;
    match status {
        Is::BAD_REQUEST => INVALID_ARGUMENT,
        Is::NOT_FOUND | Is::METHOD_NOT_ALLOWED | Is::NOT_IMPLEMENTED => UNIMPLEMENTED,
        Is::PAYLOAD_TOO_LARGE | Is::TOO_MANY_REQUESTS => RESOURCE_EXHAUSTED,
        Is::BAD_GATEWAY | Is::SERVICE_UNAVAILABLE => UNAVAILABLE,
        Is::GATEWAY_TIMEOUT => DEADLINE_EXCEEDED,
        _ => UNKNOWN,
    }
}

/// Printable ASCII as it is, and all else in percent.
fn encoded(message: &str) -> String {
    message.bytes().fold(String::with_capacity(message.len()), |mut text, byte| {
        match byte {
            b'%' | ..=0x1f | 0x7f.. => {
                // A String takes all.
                let _written = write!(text, "%{byte:02X}");
            }
            _ => text.push(char::from(byte)),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn calls_are_told_by_their_content_type() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web+proto", false),
            ("application/json", false),
        ] {
            assert_eq!(is_call(&with(CONTENT_TYPE, kind)), expected, "{kind}");
        }
    }

    #[test]
    fn a_status_says_who_has_failed() {
        for (status, expected) in [
            ("0", None),
            ("14", Some(Failure::Connect)),
            ("13", Some(Failure::ServerError)),
            ("8", Some(Failure::Overloaded)),
            ("3", Some(Failure::ClientError)),
            ("4", Some(Failure::ClientError)),
            ("x", None),
        ] {
            assert_eq!(failure(&with(GRPC_STATUS, status)), expected, "{status}");
        }
    }

    #[test]
    fn a_refusal_is_one_of_grpc() {
        let headers = refusal(StatusCode::SERVICE_UNAVAILABLE, "100 % \u{e9}\n", Some(2));
        let value = |name: &str| headers.get(name).unwrap().to_str().unwrap();
        assert_eq!((value("grpc-status"), value("grpc-message")), ("14", "100 %25 %C3%A9%0A"));
        assert_eq!((value("content-type"), value("grpc-retry-pushback-ms")), ("application/grpc", "2000"));
        assert_eq!(of_http(StatusCode::NOT_FOUND), UNIMPLEMENTED);
        assert_eq!([0, UNAVAILABLE, 16, 17].map(name), ["OK", "UNAVAILABLE", "UNAUTHENTICATED", "other"]);
        assert_eq!(of_http(StatusCode::GATEWAY_TIMEOUT), DEADLINE_EXCEEDED);
    }
}
