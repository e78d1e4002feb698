//! Stores: what the engine asks of any, and those that there are.

pub(crate) mod access;
pub(crate) mod attributes;
pub(crate) mod azure;
pub(crate) mod byte_range;
pub(crate) mod capabilities;
pub(crate) mod condition;
pub(crate) mod connect_options;
pub(crate) mod credentials;
pub(crate) mod error;
pub(crate) mod gcs;
pub(crate) mod http;
pub(crate) mod local;
pub(crate) mod location;
pub(crate) mod object;
pub(crate) mod payload;
pub(crate) mod place;
pub(crate) mod probe;
pub(crate) mod queue;
pub(crate) mod replica;
pub(crate) mod retry;
pub(crate) mod s3;
pub(crate) mod tag_support;
pub(crate) mod tags;
pub(crate) mod upload_id;
pub(crate) mod xml;

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream};

use crate::{
    Attributes, ByteRange, Capabilities, Checksum, Condition, CopySource, ListPage, LivePart, ObjectHead,
    ObjectSummary, PartLimits, Payload, Place, Proof, StoreCopy, StoreError, Tags, TagsLost, UploadedPart, Written,
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

    /// The first page of those whose key comes after `after`, which begins with `prefix`; a store that cannot begin there begins
    /// earlier.
    async fn list_page_after(&self, prefix: &str, after: &str) -> Result<ListPage, StoreError> {
        let _begins_at_the_start = after;
        self.list_page(prefix, None).await
    }

    /// What the store says about an object.
    async fn head(&self, key: &str) -> Result<ObjectHead, StoreError>;

    /// The tags of an object whose [`ObjectHead::tag_count`] says that it has some.
    async fn tags(&self, key: &str) -> Result<Tags, StoreError> {
        let _has_none = key;
        Ok(Tags::new())
    }

    /// These bytes of an object, and what the store says of the whole; with `etag`, only of that version (else
    /// [`StoreErrorKind::Changed`]).
    async fn get(&self, key: &str, range: ByteRange, etag: Option<&str>) -> Result<(ObjectHead, Body), StoreError>;

    /// Whether several readers of an object get it sooner than one.
    fn bounds_connections(&self) -> bool {
        true
    }

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
    /// condition is as for [`Self::put`]. Without a proven copy the object is to be written, and also when this fails for any reason
    /// that concerns this request only.
    async fn copy_from(
        &self,
        source: &CopySource<'_>,
        key: &str,
        condition: &Condition,
    ) -> Result<StoreCopy, StoreError> {
        let _cannot = (source, key, condition);
        Ok(StoreCopy::None)
    }

    /// Bytes of the first part of an object that was written in parts, where the store tells.
    async fn first_part(&self, key: &str, etag: &str) -> Result<Option<u64>, StoreError> {
        let _untold = (key, etag);
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

    /// Whether it computes the CRC-64/NVME of each part that comes without a checksum, and tells it. May ask the store, once.
    async fn tells_checksums_of_parts(&self) -> bool {
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
