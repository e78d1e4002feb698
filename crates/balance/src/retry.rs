//! What may be sent once more after it failed. Whether the [budget](crate::budget) has it is another question, to be asked after this.

use crate::failure::Failure;

/// An attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What went wrong.
    pub failure: Failure,
    /// To do it twice is as good as once: by its method (RFC 9110, section 9.2.2), or since the route says so, as it may of inference,
    /// which changes nothing.
    pub is_idempotent: bool,
    /// The whole request is still there to be sent.
    pub is_kept: bool,
    /// The client was sent something of an answer.
    pub is_answered: bool,
    /// Attempts that the route still allows.
    pub left: u32,
}

/// Why an attempt is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// A second answer cannot follow a part of a first.
    #[error("the client has a part of the answer already")]
    Answered,
    /// Another endpoint would say the same, or nobody listens.
    #[error("another attempt would end no better")]
    Pointless,
    /// It may have been done, and must not be twice.
    #[error("it may have been done already, and its method is not idempotent")]
    NotIdempotent,
    /// It was sent as it came in, and is gone.
    #[error("its body was too large to be kept")]
    NotKept,
    /// The route allows no more.
    #[error("all attempts that the route allows were made")]
    Exhausted,
}

/// Whether to send the request once more.
///
/// # Errors
/// Why not.
pub fn allow(attempt: &Attempt) -> Result<(), Refusal> {
    // Who refused a request or was never reached has not done it.
    let is_undone = match attempt.failure {
        Failure::Connect | Failure::Overloaded => true,
        Failure::Reset | Failure::Timeout | Failure::ServerError => false,
        Failure::ClientError | Failure::Cancelled => return Err(Refusal::Pointless),
    };
    match attempt {
        Attempt { is_answered: true, .. } => Err(Refusal::Answered),
        Attempt { is_idempotent: false, .. } if !is_undone => Err(Refusal::NotIdempotent),
        Attempt { is_kept: false, .. } => Err(Refusal::NotKept),
        Attempt { left: 0, .. } => Err(Refusal::Exhausted),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_sent_again() {
        let attempt = |failure| Attempt { failure, is_idempotent: true, is_kept: true, is_answered: false, left: 1 };
        let fine = attempt(Failure::Reset);
        for (attempt, expected) in [
            (attempt(Failure::Connect), Ok(())),
            (attempt(Failure::Reset), Ok(())),
            (attempt(Failure::Timeout), Ok(())),
            (attempt(Failure::ServerError), Ok(())),
            (attempt(Failure::Overloaded), Ok(())),
            (attempt(Failure::ClientError), Err(Refusal::Pointless)),
            (attempt(Failure::Cancelled), Err(Refusal::Pointless)),
            (Attempt { is_answered: true, ..fine }, Err(Refusal::Answered)),
            (Attempt { is_kept: false, ..fine }, Err(Refusal::NotKept)),
            (Attempt { left: 0, ..fine }, Err(Refusal::Exhausted)),
            (Attempt { is_idempotent: false, ..fine }, Err(Refusal::NotIdempotent)),
            (Attempt { is_idempotent: false, ..attempt(Failure::Timeout) }, Err(Refusal::NotIdempotent)),
            (Attempt { is_idempotent: false, ..attempt(Failure::ServerError) }, Err(Refusal::NotIdempotent)),
            (Attempt { is_idempotent: false, ..attempt(Failure::Connect) }, Ok(())),
            (Attempt { is_idempotent: false, ..attempt(Failure::Overloaded) }, Ok(())),
        ] {
            assert_eq!(allow(&attempt), expected, "{attempt:?}");
        }
    }
}
