use std::fmt;

use async_trait::async_trait;

/// Gives tokens that say who a workload is. A cloud that trusts whoever signs them gives credentials of its own for one.
///
/// The token of a Kubernetes ServiceAccount is such a token.
#[async_trait]
pub trait TokenSource: fmt::Debug + Send + Sync {
    /// A token that is good from now on for longer than an exchange takes.
    async fn token(&self) -> Result<String, TokenError>;
}

/// Why there is no token. The sentence says what failed and what to do; it never holds a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It may work soon.
    #[error("{0}")]
    Unavailable(String),
    /// It stays so until a person changes something.
    #[error("{0}")]
    Refused(String),
}
