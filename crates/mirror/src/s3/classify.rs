//! What an answer of S3 means: pure.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::StoreErrorKind;

/// What kind of failure it is, and what the store or the network said.
pub(super) fn classify<E>(error: &SdkError<E>) -> (StoreErrorKind, String)
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(failure) => answer(
            failure.raw().status().as_u16(),
            failure.err().code().unwrap_or_default(),
            failure.err().message().unwrap_or_default(),
            failure.raw().headers().get("x-amz-bucket-region"),
        ),
        SdkError::TimeoutError(_) => (StoreErrorKind::Unreachable, "no answer in time".to_owned()),
        SdkError::DispatchFailure(failure) if failure.is_user() => (StoreErrorKind::Rejected, chain(error)),
        SdkError::DispatchFailure(_) => (StoreErrorKind::Unreachable, chain(error)),
        SdkError::ResponseError(response) => unparsable(response.raw(), chain(error)),
        _ => (StoreErrorKind::Rejected, chain(error)),
    }
}

/// An answer that is no S3 answer: a proxy's error page, or a connection that broke in the middle of it.
fn unparsable(response: &HttpResponse, detail: String) -> (StoreErrorKind, String) {
    match response.status().as_u16() {
        500.. => (StoreErrorKind::Unavailable, detail),
        200..300 => (StoreErrorKind::Unreachable, detail),
        _ => (StoreErrorKind::Protocol, detail),
    }
}

fn answer(status: u16, code: &str, message: &str, region: Option<&str>) -> (StoreErrorKind, String) {
    let said = match (code, message) {
        ("", "") => format!("HTTP status {status}"),
        (code, "") => code.to_owned(),
        (code, message) => format!("{code}: {message}"),
    };
    let kind = match (code, status) {
        ("NoSuchBucket", _) => StoreErrorKind::MissingBucket,
        ("NoSuchKey" | "NoSuchUpload" | "NotFound", _) => StoreErrorKind::NotFound,
        ("PreconditionFailed", _) | (_, 412) => StoreErrorKind::Changed,
        ("SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded", _) | (_, 429) => {
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
        (
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired",
            _,
        )
        | (_, 401 | 403) => {
            // A message may repeat what was sent as the key's identifier: a person may have put the secret there.
            let code = if code.is_empty() { format!("HTTP status {status}") } else { code.to_owned() };
            return (StoreErrorKind::CredentialsRefused, code);
        }
        (_, 404) => StoreErrorKind::NotFound,
        _ => StoreErrorKind::Rejected,
    };
    (kind, said)
}

/// The region in `… is wrong; expecting 'eu-west-1'` (Amazon) or `… expected: '20250101/eu-west-1/s3/aws4_request'` (Garage).
fn region_in(message: &str) -> Option<String> {
    let (_, after) = message.split_once("expecting '").or_else(|| message.split_once("expected: '"))?;
    let quoted = after.split('\'').next()?;
    let region = quoted.split('/').nth(1).unwrap_or(quoted);
    (!region.is_empty()).then(|| region.to_owned())
}

/// An error and its causes in one line, each said once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::answer;
    use crate::StoreErrorKind::{
        self, Changed, Corrupt, CredentialsRefused, MissingBucket, NotFound, Rejected, Throttled, Unavailable,
        WrongRegion,
    };

    #[test]
    fn each_answer_has_its_kind() {
        let cases: &[(u16, &str, StoreErrorKind)] = &[
            (404, "NoSuchBucket", MissingBucket),
            (404, "NoSuchKey", NotFound),
            (404, "", NotFound),
            (412, "", Changed),
            (503, "SlowDown", Throttled),
            (429, "", Throttled),
            (503, "ServiceUnavailable", Unavailable),
            (500, "InternalError", Unavailable),
            (403, "AccessDenied", CredentialsRefused),
            (400, "ExpiredToken", CredentialsRefused),
            (403, "", CredentialsRefused),
            (501, "NotImplemented", Rejected),
            (403, "InvalidObjectState", Rejected),
            (400, "BadDigest", Corrupt),
            (400, "KeyTooLongError", Rejected),
            (301, "PermanentRedirect", WrongRegion { expected: None }),
        ];
        for (status, code, kind) in cases {
            assert_eq!(answer(*status, code, "", None).0, *kind, "{status} {code}");
        }
    }

    #[test]
    fn the_right_region_is_named_when_the_store_says_it() {
        let malformed = "AuthorizationHeaderMalformed";
        let message = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'";
        let expected = WrongRegion { expected: Some("eu-west-1".to_owned()) };
        assert_eq!(answer(400, malformed, message, None).0, expected);
        let message =
            "unexpected scope: '20250101/us-east-1/s3/aws4_request', expected: '20250101/eu-west-1/s3/aws4_request'";
        assert_eq!(answer(400, malformed, message, None).0, expected);
        assert_eq!(answer(301, "", "", Some("eu-west-1")).0, expected);
    }

    #[test]
    fn a_refusal_repeats_nothing_that_was_sent() {
        let (_, said) = answer(403, "AccessDenied", "No such key: hunter2", None);
        assert_eq!(said, "AccessDenied");
    }
}
