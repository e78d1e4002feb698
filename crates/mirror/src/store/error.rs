use std::sync::Arc;
use std::time::Duration;

/// Whether it helps to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// It may work soon.
    Transient,
    /// It may work later, and asking less often helps.
    Throttled,
    /// It stays wrong until a person changes something.
    Permanent,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// No credentials were found to ask with.
    #[error("no credentials were found: give a key, or give the pod or machine an identity of the cloud")]
    MissingCredentials,
    /// The store does not accept the credentials for this.
    #[error("the store refused the credentials: check the key, its secret, and that it may read and write this bucket")]
    CredentialsRefused,
    /// The credentials are no longer good.
    #[error(
        "the store says that the credentials have expired: give new ones, and check that this machine's clock is right"
    )]
    CredentialsExpired,
    /// The hub or a cloud's token service gives no credentials for the identity.
    #[error("no credentials are given for the identity: check that the cloud trusts it, and what it is allowed")]
    IdentityRefused,
    /// The hub or a cloud's token service gives no credentials for the identity now.
    #[error("the credentials of the identity cannot be had now")]
    IdentityUnavailable,
    /// There is no such bucket.
    #[error("the bucket does not exist: create it, or correct its name")]
    MissingBucket,
    /// The bucket is in another region than the request said.
    #[error("the region is wrong{}", expected.as_ref().map_or_else(String::new, |region| format!(": the store says {region:?}")))]
    WrongRegion {
        /// The region the store named.
        expected: Option<String>,
    },
    /// No answer from the store: name, network, TLS or a timeout.
    #[error("the store is unreachable: check the endpoint and the network")]
    Unreachable,
    /// The store asks for fewer requests.
    #[error("the store asks to slow down")]
    Throttled,
    /// The store answered that it cannot now.
    #[error("the store failed to serve the request")]
    Unavailable,
    /// There is no such object, or no such upload.
    #[error("not found")]
    NotFound,
    /// The object is another one than the request named.
    #[error("the object changed meanwhile")]
    Changed,
    /// The bytes are not the ones they should be.
    #[error("the content is not what was sent")]
    Corrupt,
    /// The store's answer breaks the protocol, so nothing can be concluded from it.
    #[error("the store's answer cannot be used")]
    Protocol,
    /// The store refused the request itself.
    #[error("the store refused the request")]
    Rejected,
    /// The caller asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

/// A failed request: what was tried, where, why, what to do. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} (bucket {bucket:?} at {endpoint}): {kind}{}", suffix(detail))]
pub struct StoreError {
    /// Why.
    pub kind: StoreErrorKind,
    /// What was tried, as a verb phrase.
    pub action: String,
    /// The store asked.
    pub endpoint: Arc<str>,
    /// The bucket asked.
    pub bucket: Arc<str>,
    /// What the store or the network said; may be empty.
    pub detail: String,
    /// When the store may be asked again at the earliest, where it said so.
    pub retry_after: Option<Duration>,
}

fn suffix(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

impl StoreError {
    /// Whether it helps to ask again.
    #[must_use]
    pub fn retry(&self) -> RetryClass {
        match self.kind {
            StoreErrorKind::Throttled => RetryClass::Throttled,
            StoreErrorKind::Unreachable
            | StoreErrorKind::Unavailable
            | StoreErrorKind::Corrupt
            | StoreErrorKind::IdentityUnavailable => RetryClass::Transient,
            _ => RetryClass::Permanent,
        }
    }

    /// Whether every other object of the bucket would meet the same error now.
    #[must_use]
    pub fn concerns_whole_bucket(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::MissingCredentials
                | StoreErrorKind::CredentialsRefused
                | StoreErrorKind::CredentialsExpired
                | StoreErrorKind::IdentityRefused
                | StoreErrorKind::IdentityUnavailable
                | StoreErrorKind::MissingBucket
                | StoreErrorKind::WrongRegion { .. }
                | StoreErrorKind::Unreachable
                | StoreErrorKind::Throttled
                | StoreErrorKind::Cancelled
        )
    }
}

/// An error and its causes in one line, each said once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
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
