//! Why a load balancer could not be read or changed.

use std::path::PathBuf;

/// Why a load balancer could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Nobody answers.
    #[error("{server} does not answer at {place}: {source}. Does it run, and is it set up as the documentation says?")]
    Unreachable {
        /// Which load balancer.
        server: &'static str,
        /// Where it was asked.
        place: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It does not take what it was given, and goes on with what it had.
    #[error("{server} refuses the change, and goes on with what it had: {said}")]
    Refused {
        /// Which load balancer.
        server: &'static str,
        /// Its own words.
        said: String,
    },
    /// Its configuration cannot be loaded, and would not without the change either: nothing was changed.
    #[error(
        "the configuration of {server} is wrong also without the change, so that nothing was changed: {said}. Correct what is not managed"
    )]
    BrokenWithout {
        /// Which load balancer.
        server: &'static str,
        /// Its own words, or what is missing.
        said: String,
    },
    /// What it says is not understood.
    #[error("{server} says what is not understood: {said}. Is its version one that the documentation names?")]
    NotUnderstood {
        /// Which load balancer.
        server: &'static str,
        /// Its own words, or what is wrong with them.
        said: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// `read`, `write`, ...
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A program cannot be run.
    #[error("cannot run {program}: {source}. Is it installed, and may this user run it?")]
    Program {
        /// Which program.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It was changed, and when it is read again it is not what it should be.
    #[error("{server} was changed, and has not become what it should be: still to do: {left}")]
    NotTaken {
        /// Which load balancer.
        server: &'static str,
        /// The steps that would be left.
        left: String,
    },
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After a while: it may pass.
    Later,
    /// Once the routes have changed: the same would be refused again.
    AfterChange,
}

impl DriverError {
    /// When to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Refused { .. } => Retry::AfterChange,
            Self::Unreachable { .. }
            | Self::BrokenWithout { .. }
            | Self::NotUnderstood { .. }
            | Self::File { .. }
            | Self::Program { .. }
            | Self::NotTaken { .. } => Retry::Later,
        }
    }
}
