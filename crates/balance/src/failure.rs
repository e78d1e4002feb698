//! How a request may fail, as far as it matters to where the next one goes.

/// What went wrong with a request at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No connection: nothing was sent.
    Connect,
    /// The connection broke, before or within the answer.
    Reset,
    /// No first byte, or none for too long within the answer, in the time it had.
    Timeout,
    /// It answered that it failed (5xx but 503, or a first frame that is an error).
    ServerError,
    /// It answered that it has too much to do (429, 503).
    Overloaded,
    /// It refused the request as wrong (4xx but 429). That is quick, and says nothing of how fast it works; but it works.
    ClientError,
    /// The client went away, or another attempt was faster. Nobody's fault.
    Cancelled,
}

impl Failure {
    /// Whether it speaks against the endpoint, and counts towards its ejection. To be busy does not: it passes, and says so by itself.
    #[must_use]
    pub fn is_fault(self) -> bool {
        matches!(self, Self::Connect | Self::Reset | Self::Timeout | Self::ServerError)
    }
}
