//! A change of an HAProxy.

use std::fmt;

use super::map::Entry;
use super::wanted::{Asked, Content, Server};

/// A change that is done or not done.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A file with certificates or a key is written.
    File(String, Content),
    /// A file that nothing will read any more is removed.
    Forget(String),
    /// The configuration is tried and written, and a new process reads it; if that does not come, what was there before is written again.
    Load(Content),
    /// The configuration is tried and written: the process has what it says already.
    Config(Content),
    /// A server is made, and gets requests.
    Add(Named, Box<Made>),
    /// A server gets requests, and is asked what it is to be asked.
    Ready(Named, Asked),
    /// A server is elsewhere.
    Address(Named),
    /// It has another weight.
    Weight(Named, u32),
    /// It takes more or fewer requests at once.
    MostInFlight(Named, u32),
    /// It gets no more requests, and finishes those that it has.
    Drain(Named),
    /// It has none any more, and is removed.
    Delete(Named),
    /// The process has requests go by these, all at once.
    Map(Vec<Entry>),
    /// The next process will.
    MapFile(Content),
}

/// What a server is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// As it is to be.
    pub(super) server: Server,
    /// What all servers of the backend have.
    pub(super) common: String,
    /// What is asked all the time.
    pub(super) asked: Asked,
}

/// A server of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The backend's name.
    pub(super) backend: String,
    /// The server's name.
    pub(super) server: String,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.backend, self.server)
    }
}
