//! Amazon S3 and the stores that speak it.
//!
//! AWS's own crates find the credentials and sign. The requests are ours, over the client that all stores share: the SDK's own
//! take more time for a small object than the network does, and its reading of listings several times ours.

mod attributes;
mod checksum;
mod choice;
mod classify;
mod conditions;
mod connect;
mod copies;
mod copy_parts;
mod cut;
mod listing;
mod live;
mod multipart;
mod objects;
mod probe;
mod requests;
mod role;
mod signing;
mod sqs;
mod tagging;
mod uploads;

pub use sqs::SqsQueue;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};

use tokio::sync::OnceCell;

use crate::store::http::Http;
use crate::store::retry::Requests;
use crate::store::tag_support::TagSupport;
use crate::{Place, S3Location};
use signing::Signer;

/// A bucket, or the part of it below a prefix, in Amazon S3 or a store that speaks S3. Clones share their connections.
#[derive(Clone)]
pub struct S3Store {
    http: Http,
    /// Nothing is signed for nobody.
    signer: Option<Signer>,
    /// The bucket's URL, without a slash at its end.
    bucket: String,
    location: S3Location,
    place: Place,
    options: Requests,
    /// Whether it checks and tells that checksum, once that is known.
    keeps_crc64nvme: Arc<OnceCell<bool>>,
    /// Whether it refused that checksum. It may keep that of an object, and refuse that of one in parts.
    refuses_crc64nvme: Arc<AtomicBool>,
    /// Whether it refused a write for its condition.
    refuses_conditions: Arc<AtomicBool>,
    /// Bytes that one request copies at most.
    largest_copy: u64,
    /// How often in a row it did not copy by itself.
    refused_copies: Arc<AtomicU32>,
    tag_support: TagSupport,
    /// Whether it checks that checksum behind a content, once that is known.
    takes_trailers: Arc<OnceCell<bool>>,
    /// Whether it tells that checksum of a part that came without one, once that is known.
    tells_parts: Arc<OnceCell<bool>>,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("location", &self.location).finish_non_exhaustive()
    }
}
