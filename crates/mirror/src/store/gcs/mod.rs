//! Google Cloud Storage, by its JSON API.

mod classify;
mod compose;
mod connect;
mod names;
mod objects;
mod probe;
mod requests;
mod resource;
mod rewrite;
mod signing;

use std::fmt;

use reqsign_google::Credential;

use crate::store::credentials::KeptSigner;
use crate::store::http::Http;
use crate::store::retry::Requests;
use crate::{GcsLocation, Place};

/// A bucket, or the part of it below a prefix, in Google Cloud Storage. Clones share their connections.
///
/// An object's version is its generation. Google computes the CRC-32C of what it holds ([`Proof::Crc32c`]).
///
/// [`Proof::Crc32c`]: crate::Proof::Crc32c
#[derive(Clone)]
pub struct GcsStore {
    http: Http,
    /// Nothing is signed for nobody.
    signer: Option<KeptSigner<Credential>>,
    /// The service's URL.
    endpoint: String,
    location: GcsLocation,
    place: Place,
    options: Requests,
}

impl fmt::Debug for GcsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcsStore").field("location", &self.location).finish_non_exhaustive()
    }
}
