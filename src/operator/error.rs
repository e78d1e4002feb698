//! Why a pass over an object ended without result. What is wrong with an object itself is no such error: it is a condition.

use std::time::Duration;

/// Why a pass ended without result; it is tried again with growing delay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The hub's API server did not do what was asked.
    #[error("cannot {action} on the hub: {source}")]
    Hub {
        /// What was asked, as "read the Secret".
        action: &'static str,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// The pass took longer than it may.
    #[error("the pass took longer than {0:?}")]
    TimedOut(Duration),
    /// The finalizer could not be set or removed.
    #[error("cannot set or remove the finalizer: {0}")]
    Finalizer(String),
    /// A revision could not be written as JSON.
    #[error("cannot write the revision of the spec: {0}")]
    Revision(String),
    /// The operator is ending.
    #[error("the operator is stopping")]
    Stopping,
    /// The object is being deleted and has to wait: its finalizer stays.
    #[error("the deletion waits: {0}")]
    NotYet(String),
}

impl ReconcileError {
    /// For `map_err` on a call to the hub.
    pub(crate) fn hub(action: &'static str) -> impl Fn(kube::Error) -> Self {
        move |source| Self::Hub { action, source: Box::new(source) }
    }

    /// The error within what the finalizer helper wraps around it.
    pub(crate) fn from_finalizer(error: kube::runtime::finalizer::Error<Self>) -> Self {
        use kube::runtime::finalizer::Error;
        match error {
            Error::ApplyFailed(error) | Error::CleanupFailed(error) => error,
            Error::AddFinalizer(source) => Self::Hub { action: "set the finalizer", source: Box::new(source) },
            Error::RemoveFinalizer(source) => Self::Hub { action: "remove the finalizer", source: Box::new(source) },
            other => Self::Finalizer(other.to_string()),
        }
    }

    /// Somebody else changed the object while the pass went on: the next one has what it takes, and needs no patience.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Hub { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 409))
    }

    /// Part of an ordinary life: somebody else changed the object meanwhile, or a deletion waits.
    pub(crate) fn is_ordinary(&self) -> bool {
        match self {
            Self::Hub { .. } => self.is_conflict(),
            Self::NotYet(_) | Self::Stopping => true,
            Self::TimedOut(_) | Self::Finalizer(_) | Self::Revision(_) => false,
        }
    }
}
