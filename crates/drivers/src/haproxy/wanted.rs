//! What HAProxy is to have.

use std::collections::BTreeMap;
use std::fmt;

use super::map::Entry;

/// What HAProxy is to have of ours.
#[derive(Clone, PartialEq)]
pub struct Wanted {
    /// By name.
    pub(super) backends: BTreeMap<String, Backend>,
    /// Which of them takes a request, in the order in which it is asked.
    pub(super) entries: Vec<Entry>,
    /// Certificates and keys, by names that come from what they have in them.
    pub(super) files: BTreeMap<String, Content>,
}

/// A route's servers, and what holds for all of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Backend {
    /// Lines of the configuration, which only a reload changes.
    pub lines: Vec<String>,
    /// What each server line has.
    pub common: String,
    /// Servers by name.
    pub servers: BTreeMap<String, Server>,
    /// What HAProxy asks all the time.
    pub asked: Asked,
}

impl Backend {
    /// One that answers everything with 503, as HAProxy does where there is no server.
    pub(super) fn without_servers() -> Self {
        let asked = Asked { health: false, agent: false };
        Self { lines: vec![], common: String::new(), servers: BTreeMap::new(), asked }
    }
}

/// What is asked all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whether it is well.
    pub(super) health: bool,
    /// The agent, for its weight.
    pub(super) agent: bool,
}

/// A server as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// By which hashing knows it.
    pub(super) number: u32,
    /// From 1 to 256.
    pub(super) weight: u32,
    /// It gets requests when no other server can.
    pub(super) is_backup: bool,
    /// Requests in flight; 0 for any number.
    pub(super) most_in_flight: u32,
    /// What only its line has.
    pub(super) own: String,
}

/// What a file has, which is told to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(pub(super) Vec<u8>);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
