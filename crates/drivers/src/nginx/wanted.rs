//! What NGINX is to have: pure.

use std::collections::BTreeMap;
use std::fmt;

use super::{text, upstream};

/// What NGINX is to have.
#[derive(Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Who answers, by route.
    pub(super) upstreams: Vec<Upstream>,
    /// What else belongs into the `http` block.
    pub(super) http: String,
    /// What belongs into a `server` block.
    pub(super) server: String,
    /// Certificates and keys, by the names of their files.
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

/// Who answers the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upstream {
    /// Its name for NGINX.
    pub(super) id: String,
    /// The route, as a comment can have it.
    pub(super) route: String,
    /// The directive that says which server is next; empty for one after the other.
    pub(super) method: String,
    /// At least one.
    pub(super) servers: Vec<Server>,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// A name or an address.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// Its share.
    pub(super) weight: u32,
    /// What else is said of it, each with a space before.
    pub(super) parameters: String,
}

impl Wanted {
    /// What is the same has the same.
    pub(super) fn id(&self) -> String {
        let upstreams = upstream::text(&self.upstreams, &BTreeMap::new());
        let texts = [&upstreams, &self.http, &self.server].map(String::as_bytes);
        let files = self.files.iter().flat_map(|(name, text)| [name.as_bytes(), text]);
        text::digest(texts.into_iter().chain(files))
    }
}

impl fmt::Debug for Wanted {
    // It has keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted").field("id", &&self.id()[..16]).finish_non_exhaustive()
    }
}
