//! What an answer of S3 means: pure.

use http::{HeaderMap, StatusCode};

use crate::StoreErrorKind;
use crate::store::http::{Failure, header, said};
use crate::store::xml::error_in;

/// What kind of failure an answer is, and what the store said.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    // An answer without a body, such as that to HEAD, has neither: then the status has to do.
    let (code, message) = error_in(body);
    answer(status.as_u16(), &code, &message, header(headers, "x-amz-bucket-region"))
}

pub(super) fn answer(status: u16, code: &str, message: &str, region: Option<&str>) -> Failure {
    let said = said(status, code, message);
    let kind = match (code, status) {
        ("NoSuchBucket", _) => StoreErrorKind::MissingBucket,
        ("NoSuchKey" | "NoSuchUpload" | "NotFound", _) => StoreErrorKind::NotFound,
        ("PreconditionFailed", _) | (_, 412) => StoreErrorKind::Changed,
        // The answer to HEAD names no code; of what 503 may mean, asking less is right for all.
        ("SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded", _) | (_, 429) | ("", 503) => {
            StoreErrorKind::Throttled
        }
        ("AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException", _)
        | (_, 301 | 307) => {
            let expected = region.map(str::to_owned).or_else(|| region_in(message));
            StoreErrorKind::WrongRegion { expected }
        }
        (
            "BadDigest"
            | "InvalidDigest"
            | "XAmzContentSHA256Mismatch"
            | "XAmzContentChecksumMismatch"
            | "IncompleteBody",
            _,
        ) => StoreErrorKind::Corrupt,
        // An archived object: it says 403, and the credentials are fine.
        ("NotImplemented" | "InvalidObjectState", _) | (_, 501) => StoreErrorKind::Rejected,
        ("RequestTimeout" | "OperationAborted" | "ConditionalRequestConflict", _) | (_, 408 | 409 | 500..) => {
            StoreErrorKind::Unavailable
        }
        ("ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired", _) => {
            return Failure::new(StoreErrorKind::CredentialsExpired, code);
        }
        ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken", _) | (_, 401 | 403) => {
            // A message may repeat what was sent as the key's identifier: a person may have put the secret there.
            let code = if code.is_empty() { format!("HTTP status {status}") } else { code.to_owned() };
            return Failure::new(StoreErrorKind::CredentialsRefused, code);
        }
        (_, 404) => StoreErrorKind::NotFound,
        _ => StoreErrorKind::Rejected,
    };
    Failure::new(kind, said)
}

/// The region in `… is wrong; expecting 'eu-west-1'` (Amazon) or `… expected: '20250101/eu-west-1/s3/aws4_request'` (Garage).
fn region_in(message: &str) -> Option<String> {
    let (_, after) = message.split_once("expecting '").or_else(|| message.split_once("expected: '"))?;
    let quoted = after.split('\'').next()?;
    let region = quoted.split('/').nth(1).unwrap_or(quoted);
    (!region.is_empty()).then(|| region.to_owned())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::{answer, classify};
    use crate::StoreErrorKind::{
        self, Changed, Corrupt, CredentialsExpired, CredentialsRefused, MissingBucket, NotFound, Rejected, Throttled,
        Unavailable, WrongRegion,
    };

    #[test]
    fn each_answer_has_its_kind() {
        let cases: &[(u16, &str, StoreErrorKind)] = &[
            (404, "NoSuchBucket", MissingBucket),
            (404, "NoSuchKey", NotFound),
            (404, "", NotFound),
            (412, "", Changed),
            (503, "SlowDown", Throttled),
            (503, "", Throttled),
            (429, "", Throttled),
            (503, "ServiceUnavailable", Unavailable),
            (500, "InternalError", Unavailable),
            (403, "AccessDenied", CredentialsRefused),
            (400, "ExpiredToken", CredentialsExpired),
            (403, "ExpiredTokenException", CredentialsExpired),
            (400, "RequestExpired", CredentialsExpired),
            (400, "InvalidToken", CredentialsRefused),
            (403, "", CredentialsRefused),
            (409, "ConditionalRequestConflict", Unavailable),
            (501, "NotImplemented", Rejected),
            (403, "InvalidObjectState", Rejected),
            (400, "BadDigest", Corrupt),
            (400, "KeyTooLongError", Rejected),
            (301, "PermanentRedirect", WrongRegion { expected: None }),
        ];
        for (status, code, kind) in cases {
            assert_eq!(answer(*status, code, "", None).kind, *kind, "{status} {code}");
        }
    }

    #[test]
    fn the_right_region_is_named_when_the_store_says_it() {
        let malformed = "AuthorizationHeaderMalformed";
        let message = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'";
        let expected = WrongRegion { expected: Some("eu-west-1".to_owned()) };
        assert_eq!(answer(400, malformed, message, None).kind, expected);
        let message =
            "unexpected scope: '20250101/us-east-1/s3/aws4_request', expected: '20250101/eu-west-1/s3/aws4_request'";
        assert_eq!(answer(400, malformed, message, None).kind, expected);
        assert_eq!(answer(301, "", "", Some("eu-west-1")).kind, expected);
    }

    #[test]
    fn a_refusal_repeats_nothing_that_was_sent() {
        assert_eq!(answer(403, "AccessDenied", "No such key: hunter2", None).detail, "AccessDenied");
    }

    #[test]
    fn code_and_message_come_from_the_body() {
        let body = b"<Error><Code>SlowDown</Code><Message>Please</Message></Error>";
        let failure = classify(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new(), body);
        assert_eq!((failure.kind, failure.detail.as_str()), (Throttled, "SlowDown: Please"));
        let page = classify(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html><p>");
        assert_eq!((page.kind, page.detail.as_str()), (Unavailable, "HTTP status 502"));
    }
}
