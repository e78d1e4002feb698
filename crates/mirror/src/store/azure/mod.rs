//! Azure Blob Storage.

mod attributes;
mod blocks;
mod classify;
mod connect;
mod listing;
mod names;
mod objects;
mod probe;
mod queue;
mod requests;
mod signing;
mod tagging;

pub use queue::AzureQueue;

use std::fmt;

use reqsign_azure_storage::Credential;

use crate::store::credentials::KeptSigner;
use crate::store::http::Http;
use crate::store::retry::Requests;
use crate::store::tag_support::TagSupport;
use crate::{AzureLocation, Place};

/// A container, or the part of it below a prefix, in Azure Blob Storage. Clones share their connections.
///
/// Azure checks the MD5 of each request's content and tells none of the whole afterwards ([`Proof::Transit`]).
///
/// [`Proof::Transit`]: crate::Proof::Transit
#[derive(Clone)]
pub struct AzureStore {
    http: Http,
    /// Nothing is signed for nobody.
    signer: Option<KeptSigner<Credential>>,
    /// The container's URL.
    container: String,
    location: AzureLocation,
    place: Place,
    options: Requests,
    tag_support: TagSupport,
}

impl fmt::Debug for AzureStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureStore").field("location", &self.location).finish_non_exhaustive()
    }
}
