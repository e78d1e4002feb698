//! What an answer of Azure means: pure.

use http::{HeaderMap, StatusCode};

use crate::StoreErrorKind;
use crate::store::http::{Failure, header, said};
use crate::store::xml::error_in;

/// What kind of failure an answer is, and what the store said.
pub(super) fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let (code, message) = error_in(body);
    if code == "AuthenticationFailed" && is_expired(body) {
        return Failure::new(StoreErrorKind::CredentialsExpired, code);
    }
    // An answer without a body, such as that to HEAD, says it in a header only.
    answer(status.as_u16(), header(headers, "x-ms-error-code").unwrap_or(&code), &message)
}

/// Only the error's detail tells a token that has ended from one that was never good.
fn is_expired(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|body| body.contains("The token is expired"))
}

fn answer(status: u16, code: &str, message: &str) -> Failure {
    let kind = match (code, status) {
        ("ContainerNotFound", _) => StoreErrorKind::MissingBucket,
        ("BlobNotFound" | "ResourceNotFound", _) | (_, 404) => StoreErrorKind::NotFound,
        // A lease keeps others from writing: that a condition is not met is not what it means.
        ("LeaseIdMissing" | "LeaseLost" | "LeaseIdMismatchWithBlobOperation", _) => StoreErrorKind::Rejected,
        ("BlobAlreadyExists", _) | (_, 412) => StoreErrorKind::Changed,
        ("ServerBusy" | "TooManyRequests" | "AccountBeingThrottled", _) | (_, 429) => StoreErrorKind::Throttled,
        ("Md5Mismatch" | "InvalidMd5", _) => StoreErrorKind::Corrupt,
        (
            "BlobArchived"
            | "BlobImmutableDueToPolicy"
            | "InvalidBlobType"
            | "SnapshotsPresent"
            | "FeatureNotEnabled"
            | "FeatureNotYetSupportedForHierarchicalNamespaceAccounts",
            _,
        )
        | (_, 501) => StoreErrorKind::Rejected,
        // A token that has ended, or that somebody took back. A key or signature is refused with 403, or 400.
        (_, 401) => {
            let code = if code.is_empty() { "HTTP status 401" } else { code };
            return Failure::new(StoreErrorKind::CredentialsExpired, code);
        }
        ("AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation", _) | (_, 403) => {
            // A message may repeat what was sent.
            let code = if code.is_empty() { format!("HTTP status {status}") } else { code.to_owned() };
            return Failure::new(StoreErrorKind::CredentialsRefused, code);
        }
        ("ContainerBeingDeleted" | "OperationTimedOut", _) | (_, 408 | 409 | 500..) => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Rejected,
    };
    // The lines that follow name the request, for Azure's support.
    let message = message.lines().next().unwrap_or_default();
    Failure::new(kind, said(status, code, message))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::{answer, classify};
    use crate::StoreErrorKind::{
        self, Changed, Corrupt, CredentialsExpired, CredentialsRefused, MissingBucket, NotFound, Rejected, Throttled,
        Unavailable,
    };

    #[test]
    fn each_answer_has_its_kind() {
        let cases: &[(u16, &str, StoreErrorKind)] = &[
            (404, "ContainerNotFound", MissingBucket),
            (404, "BlobNotFound", NotFound),
            (404, "", NotFound),
            (412, "ConditionNotMet", Changed),
            (409, "BlobAlreadyExists", Changed),
            (412, "LeaseIdMissing", Rejected),
            (503, "ServerBusy", Throttled),
            (429, "", Throttled),
            (500, "OperationTimedOut", Unavailable),
            (409, "ContainerBeingDeleted", Unavailable),
            (502, "", Unavailable),
            (403, "AuthenticationFailed", CredentialsRefused),
            (400, "InvalidAuthenticationInfo", CredentialsRefused),
            (401, "InvalidAuthenticationInfo", CredentialsExpired),
            (401, "", CredentialsExpired),
            (400, "Md5Mismatch", Corrupt),
            (409, "BlobArchived", Rejected),
            (409, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts", Rejected),
            (400, "InvalidBlockList", Rejected),
            (301, "", Rejected),
        ];
        for (status, code, kind) in cases {
            assert_eq!(answer(*status, code, "").kind, *kind, "{status} {code}");
        }
    }

    #[test]
    fn code_and_message_come_from_the_body_where_no_header_has_them() {
        let body = b"<?xml version=\"1.0\"?><Error><Code>Md5Mismatch</Code><Message>It differs.\nRequestId:1</Message></Error>";
        let failure = classify(StatusCode::BAD_REQUEST, &HeaderMap::new(), body);
        assert_eq!((failure.kind, failure.detail.as_str()), (Corrupt, "Md5Mismatch: It differs."));
    }

    #[test]
    fn a_token_that_has_ended_is_told_from_one_that_was_never_good() {
        for (detail, kind) in [("The token is expired.", CredentialsExpired), ("Bad issuer.", CredentialsRefused)] {
            let detail = format!("<AuthenticationErrorDetail>Lifetime. {detail}</AuthenticationErrorDetail>");
            let body = format!("<Error><Code>AuthenticationFailed</Code><Message>No.</Message>{detail}</Error>");
            assert_eq!(classify(StatusCode::FORBIDDEN, &HeaderMap::new(), body.as_bytes()).kind, kind);
        }
    }

    #[test]
    fn a_refusal_repeats_nothing_that_was_sent() {
        assert_eq!(answer(403, "AuthenticationFailed", "sig=hunter2").detail, "AuthenticationFailed");
    }
}
