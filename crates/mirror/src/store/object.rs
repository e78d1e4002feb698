//! What stores say of objects.

use serde::{Deserialize, Serialize};

use crate::{Attributes, Checksum, ObjectStore, Payload, StoredChecksum};

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// The objects, in order.
    pub objects: Vec<ObjectSummary>,
    /// Where the next page starts; `None` only when the store said that this is the last one.
    pub continuation: Option<String>,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectSummary {
    /// The key, relative to the store's prefix.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// What names this version: an ETag without its quotes, or a generation; empty when the store gives none.
    pub etag: String,
    /// Last modification, in seconds since the Unix epoch: the precision that every answer of S3 has.
    pub modified: i64,
    /// The MD5 of the content, where the listing tells it.
    pub md5: Option<Md5>,
}

/// What a store is to copy by itself.
#[derive(Debug, Clone, Copy)]
pub struct CopySource<'a> {
    /// Where it is: in the same service, by the same endpoint.
    pub store: &'a dyn ObjectStore,
    /// The key, relative to that store's prefix.
    pub key: &'a str,
    /// Which version of it.
    pub version: &'a ObjectSummary,
}

/// What a store has made of the wish to copy by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreCopy {
    /// A copy.
    Proven(Written),
    /// An object that nothing shows to be a copy; what names its version.
    Unproven(String),
    /// Nothing: it cannot, or nothing could show that the copy is one.
    None,
}

/// The MD5 of an object's content. Two that differ mean two contents; to trust that two contents are equal, look at their sizes
/// too.
pub type Md5 = [u8; 16];

/// What a store says of an object that it has just taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The ETag without its quotes; empty when the store gives none.
    pub etag: String,
    /// When it was written, in seconds since the Unix epoch, or somewhat later; `None` when the answer does not tell.
    pub modified: Option<i64>,
    /// What the store checked the content against.
    pub checksum: Option<StoredChecksum>,
}

/// What a store says about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHead {
    /// Bytes of the whole object.
    pub size: u64,
    /// The ETag without its quotes; empty when the store gives none.
    pub etag: String,
    /// Last modification, in seconds since the Unix epoch.
    pub modified: i64,
    /// What it carries beside its bytes.
    pub attributes: Attributes,
    /// What the store checked the content against when it was written.
    pub checksum: Option<StoredChecksum>,
    /// How many tags it carries, as far as the store tells. S3 tells it only to those who may read them.
    pub tag_count: u32,
}

impl ObjectHead {
    /// The checksum of the whole content, if the store keeps one. One over parts names no content: others cut it otherwise.
    pub(crate) fn whole_checksum(&self) -> Option<Checksum> {
        match self.checksum? {
            StoredChecksum::Whole(checksum) => Some(checksum),
            StoredChecksum::Composite { .. } => None,
        }
    }
}

/// A part of a multipart upload that its store has taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedPart {
    /// What names this part's content in its store, such as an ETag.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// The checksum that was sent with them.
    pub checksum: Checksum,
}

impl UploadedPart {
    pub(crate) fn new(etag: String, payload: &Payload) -> Self {
        Self { etag, size: payload.size(), checksum: payload.checksum() }
    }
}
