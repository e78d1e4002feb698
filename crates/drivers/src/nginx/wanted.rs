//! What NGINX is to have: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{files, text};

/// What NGINX is to have.
#[derive(Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What routes have in common in the `http` block.
    pub(super) http: String,
    /// What they have in common in a `server` block.
    pub(super) server: String,
    /// The routes.
    pub(super) routes: Vec<Route>,
}

/// What a route is to have.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// Its name for NGINX. Nothing of any other route has it.
    pub(super) id: String,
    /// Who answers. If not given, nobody does, and nothing else of the `http` block or of files is there.
    pub(super) upstream: Option<Upstream>,
    /// What else belongs into the `http` block.
    pub(super) http: String,
    /// Its locations.
    pub(super) server: String,
    /// Certificates and keys, by the names of their files.
    pub(super) files: Files,
}

/// Files by their names.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

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
        let all = files::files(self, &BTreeMap::new(), &BTreeSet::new());
        text::digest(all.iter().flat_map(|(name, text)| [name.as_bytes(), text]))
    }

    /// All who answer.
    pub(super) fn servers(&self) -> impl Iterator<Item = &Server> {
        self.routes.iter().filter_map(|route| route.upstream.as_ref()).flat_map(|upstream| &upstream.servers)
    }
}

impl fmt::Debug for Wanted {
    // It has keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted").field("id", &&self.id()[..16]).finish_non_exhaustive()
    }
}
