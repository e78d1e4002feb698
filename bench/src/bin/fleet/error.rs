//! Why the benchmark could not be made. Being slow is no failure.

use std::io;

use skyfleet_e2e::LabError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error("cannot {action} on the hub: {source}")]
    Hub { action: &'static str, source: Box<kube::Error> },
    #[error("cannot {action}: {source}")]
    Io { action: String, source: io::Error },
    #[error("`{command}` failed: {said}")]
    Command { command: &'static str, said: String },
    #[error("waited {seconds} s in vain for {what}: {last}")]
    Timeout { what: &'static str, seconds: u64, last: String },
    #[error("the operator ended by itself ({status}); the end of its log:\n{log}")]
    OperatorEnded { status: String, log: String },
    #[error("no change of {sent} reached a member: {unfinished} are still waited for, {failed} the hub refused")]
    NothingArrived { sent: usize, unfinished: usize, failed: usize },
    #[error("ended by a signal")]
    Interrupted,
}

impl BenchError {
    /// For `map_err` on a call to the hub.
    pub(crate) fn hub(action: &'static str) -> impl Fn(kube::Error) -> Self {
        move |source| Self::Hub { action, source: Box::new(source) }
    }

    /// For `map_err` on anything with the machine.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
