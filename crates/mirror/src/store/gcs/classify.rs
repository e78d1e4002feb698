//! What an answer of Google means: pure.

use http::StatusCode;
use serde::Deserialize;

use crate::StoreErrorKind;
use crate::store::http::{Failure, said};

#[derive(Default, Deserialize)]
struct Envelope {
    #[serde(default)]
    error: Said,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

/// What kind of failure an answer is, and what the store said. Media downloads may answer in plain text.
pub(super) fn classify(status: StatusCode, body: &[u8]) -> Failure {
    let Said { message, errors } = serde_json::from_slice::<Envelope>(body).unwrap_or_default().error;
    let reason = errors.first().map(|error| error.reason.as_str()).unwrap_or_default();
    answer(status.as_u16(), reason, message.trim())
}

fn answer(status: u16, reason: &str, message: &str) -> Failure {
    let lower = message.to_lowercase();
    let kind = match (status, reason) {
        (404, _) if lower.contains("bucket does not exist") => StoreErrorKind::MissingBucket,
        (404, _) => StoreErrorKind::NotFound,
        (412, _) => StoreErrorKind::Changed,
        (429, _) | (_, "rateLimitExceeded" | "userRateLimitExceeded") => StoreErrorKind::Throttled,
        (400, _) if lower.contains("doesn't match calculated") => StoreErrorKind::Corrupt,
        // A retention policy or a hold: it says 403, and the credentials are fine.
        (403, "retentionPolicyNotMet" | "objectUnderActiveHold") | (501, _) => StoreErrorKind::Rejected,
        (401, _) => {
            let said = if reason.is_empty() { "HTTP status 401" } else { reason };
            return Failure::new(StoreErrorKind::CredentialsExpired, said);
        }
        (403, _) => {
            // A message may repeat what was sent.
            let said = if reason.is_empty() { format!("HTTP status {status}") } else { reason.to_owned() };
            return Failure::new(StoreErrorKind::CredentialsRefused, said);
        }
        (408 | 409 | 500.., _) => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Rejected,
    };
    Failure::new(kind, said(status, reason, message))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::{answer, classify};
    use crate::StoreErrorKind::{
        self, Changed, Corrupt, CredentialsExpired, CredentialsRefused, MissingBucket, NotFound, Rejected, Throttled,
        Unavailable,
    };

    #[test]
    fn each_answer_has_its_kind() {
        let differs = "Provided CRC32C \"AAAAAA==\" doesn't match calculated CRC32C \"AAAAAQ==\".";
        let cases: &[(u16, &str, &str, StoreErrorKind)] = &[
            (404, "notFound", "The specified bucket does not exist.", MissingBucket),
            (404, "notFound", "No such object: b/o", NotFound),
            (404, "", "", NotFound),
            (412, "conditionNotMet", "", Changed),
            (429, "rateLimitExceeded", "", Throttled),
            (403, "userRateLimitExceeded", "", Throttled),
            (403, "forbidden", "", CredentialsRefused),
            (401, "authError", "", CredentialsExpired),
            (403, "retentionPolicyNotMet", "", Rejected),
            (400, "invalid", differs, Corrupt),
            (400, "invalid", "", Rejected),
            (503, "backendError", "", Unavailable),
            (408, "", "", Unavailable),
            (301, "", "", Rejected),
        ];
        for (status, reason, message, kind) in cases {
            assert_eq!(answer(*status, reason, message).kind, *kind, "{status} {reason}");
        }
    }

    #[test]
    fn the_reason_comes_from_the_body() {
        let body = br#"{"error":{"code":412,"message":"At least one","errors":[{"reason":"conditionNotMet"}]}}"#;
        let failure = classify(StatusCode::PRECONDITION_FAILED, body);
        assert_eq!((failure.kind, failure.detail.as_str()), (Changed, "conditionNotMet: At least one"));
        assert_eq!(classify(StatusCode::BAD_GATEWAY, b"<html>").detail, "HTTP status 502");
    }

    #[test]
    fn a_refusal_repeats_nothing_that_was_sent() {
        assert_eq!(answer(403, "forbidden", "hunter2 may not").detail, "forbidden");
    }
}
