use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream};
use serde::{Deserialize, Serialize};

use crate::{
    Attributes, Checksum, ChecksumAlgorithm, Condition, LivePart, PartLimits, Payload, StoreError, StoreErrorKind,
    StoredChecksum, Tags, TagsLost,
};

/// The bytes of an object, as they come.
pub type Body = BoxStream<'static, Result<Bytes, StoreError>>;

/// What the engine asks of a store. Keys are relative to the store's prefix and travel byte for byte.
///
/// Every method has a timeout and tries again by the store's one retry policy.
#[async_trait]
pub trait ObjectStore: Debug + Send + Sync {
    /// What messages call this store, and what tells it from others.
    fn place(&self) -> &Place;

    /// By what it shows that it holds what is written. What that is may turn out with the first write, or when an upload begins.
    fn proof(&self) -> Proof;

    /// Whether it keeps [`Attributes`], tags aside.
    fn keeps_attributes(&self) -> bool {
        true
    }

    /// Why an object that was written with these tags does not have all of them; `None` when it does. Whether the store has tags at
    /// all may turn out with the first write of some.
    fn tags_lost(&self, tags: &Tags) -> Option<TagsLost> {
        (!tags.is_empty()).then_some(TagsLost::Unsupported)
    }

    /// What it can hold of one object.
    fn part_limits(&self) -> PartLimits {
        PartLimits::S3
    }

    /// One page of the objects whose key starts with `prefix`, in the byte order of keys.
    async fn list_page(&self, prefix: &str, continuation: Option<String>) -> Result<ListPage, StoreError>;

    /// What the store says about an object.
    async fn head(&self, key: &str) -> Result<ObjectHead, StoreError>;

    /// The tags of an object whose [`ObjectHead::tag_count`] says that it has some.
    async fn tags(&self, key: &str) -> Result<Tags, StoreError> {
        let _has_none = key;
        Ok(Tags::new())
    }

    /// An object's bytes from `offset` on; with `etag`, only of that version (else [`StoreErrorKind::Changed`]).
    async fn get(&self, key: &str, offset: u64, etag: Option<&str>) -> Result<(ObjectHead, Body), StoreError>;

    /// Writes a whole object. Where the condition does not hold it fails, mostly as [`StoreErrorKind::Changed`], and so it may when the
    /// answer to a first attempt was lost: then what is there is what was written.
    async fn put(
        &self,
        key: &str,
        attributes: &Attributes,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError>;

    /// Lets the store copy an object of its own service, whose bytes do not come here then; attributes and tags are kept. The
    /// condition is as for [`Self::put`]. `None` when it cannot, or when nothing shows that the copy is one: it is to be written then,
    /// and also when this fails for any reason that concerns this request only.
    async fn copy_from(
        &self,
        source: &CopySource<'_>,
        key: &str,
        condition: &Condition,
    ) -> Result<Option<Written>, StoreError> {
        let _cannot = (source, key, condition);
        Ok(None)
    }

    /// Opens a multipart upload; gives its id. It must be completed or aborted.
    async fn create_multipart(&self, key: &str, attributes: &Attributes) -> Result<String, StoreError>;

    /// Writes part `number` (from 1).
    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError>;

    /// Whether a part may be sent to it while it is still read, with its CRC-64/NVME behind it. May ask the store, once.
    async fn takes_live_parts(&self) -> bool {
        false
    }

    /// Writes part `number` (from 1) while it is read.
    async fn put_live_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        part: &LivePart,
    ) -> Result<UploadedPart, StoreError> {
        self.put_part(key, upload, number, part.payload().await?).await
    }

    /// Makes the object from its parts, in order; the condition is as for [`Self::put`]. `whole` is a checksum of the whole content, if one is known: where the store can, it
    /// makes no other object.
    async fn complete_multipart(
        &self,
        key: &str,
        upload: &str,
        parts: &[UploadedPart],
        whole: Option<Checksum>,
        condition: &Condition,
    ) -> Result<Written, StoreError>;

    /// Throws the parts away.
    async fn abort_multipart(&self, key: &str, upload: &str) -> Result<(), StoreError>;

    /// Throws away what is left of uploads of this key that were begun and never ended: by a program that was killed, or because
    /// an answer was lost. Nobody may be writing the object meanwhile.
    async fn abort_leftovers(&self, key: &str) -> Result<(), StoreError>;

    /// Removes an object; one that is not there is no error.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Finds out what the store can do, with tiny objects below `.skyfleet/` that are removed again.
    ///
    /// A missing bucket, refused or missing credentials, a wrong region and an unreachable store each have their own
    /// [`StoreErrorKind`]. A bucket that may only be read is no error: `writable` is false.
    async fn probe(&self) -> Result<Capabilities, StoreError>;
}

/// A store by name: for messages, and to tell whether two stores are the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The endpoint's URL, or the service's name.
    pub endpoint: Arc<str>,
    /// The bucket.
    pub bucket: Arc<str>,
    /// The prefix in it.
    pub prefix: Arc<str>,
}

impl Place {
    pub(crate) fn error(
        &self,
        kind: StoreErrorKind,
        action: impl Into<String>,
        detail: impl Into<String>,
    ) -> StoreError {
        StoreError {
            kind,
            action: action.into(),
            endpoint: self.endpoint.clone(),
            bucket: self.bucket.clone(),
            detail: detail.into(),
            retry_after: None,
        }
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// The objects, in order.
    pub objects: Vec<ObjectSummary>,
    /// Where the next page starts; `None` only when the store said that this is the last one.
    pub continuation: Option<String>,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// By what a store shows that it holds the content it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By a checksum of this kind, which it checked on writing and tells afterwards.
    Told(ChecksumAlgorithm),
    /// By refusing each request whose content does not fit the checksum sent with it; afterwards it tells none.
    Transit,
}

impl Proof {
    /// The checksum to send with a content.
    #[must_use]
    pub fn algorithm(self) -> ChecksumAlgorithm {
        match self {
            Self::Told(algorithm) => algorithm,
            Self::Transit => ChecksumAlgorithm::Crc64Nvme,
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

/// What a bucket can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// An object could be written and removed.
    pub writable: bool,
    /// `If-None-Match: *` protects an existing object.
    pub conditional_writes: bool,
    /// The checksums that the store checks on writing and tells afterwards.
    pub checksums: Vec<ChecksumAlgorithm>,
    /// Overwritten objects are kept as versions. `None` when the credentials may not ask.
    pub versioning: Option<bool>,
}

/// Streams every object whose key starts with `prefix`. Ends only where the store said so: a failed page is an error item.
pub fn list<'a>(
    store: &'a dyn ObjectStore,
    prefix: &'a str,
) -> impl Stream<Item = Result<ObjectSummary, StoreError>> + 'a {
    let pages = stream::try_unfold(Some(None), move |next: Option<Option<String>>| async move {
        let Some(continuation) = next else { return Ok::<_, StoreError>(None) };
        let page = store.list_page(prefix, continuation).await?;
        let objects = stream::iter(page.objects.into_iter().map(Ok));
        Ok(Some((objects, page.continuation.map(Some))))
    });
    futures::TryStreamExt::try_flatten(pages)
}
