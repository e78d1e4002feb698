use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};

use super::GcsStore;
use super::requests::{Insert, matching};
use super::resource::{LISTING_FIELDS, read_page};
use crate::store::http::query;
use crate::{
    Attributes, Body, ByteRange, Capabilities, Checksum, ChecksumAlgorithm, Condition, CopySource, ListPage,
    ObjectHead, ObjectStore, PartLimits, Payload, Place, Proof, StoreCopy, StoreError, StoreErrorKind, UploadedPart,
    Written,
};

/// As many as Google gives at once.
const PAGE: &str = "1000";

#[async_trait]
impl ObjectStore for GcsStore {
    fn place(&self) -> &Place {
        &self.place
    }

    fn proof(&self) -> Proof {
        Proof::Told(ChecksumAlgorithm::Crc32c)
    }

    fn part_limits(&self) -> PartLimits {
        PartLimits::GOOGLE
    }

    async fn list_page(&self, prefix: &str, continuation: Option<String>) -> Result<ListPage, StoreError> {
        let token = continuation.filter(|token| !token.is_empty());
        self.page(prefix, token.as_deref().map(|token| ("pageToken", token))).await
    }

    /// Google gives the object at which a listing begins too.
    async fn list_page_after(&self, prefix: &str, after: &str) -> Result<ListPage, StoreError> {
        self.page(prefix, Some(("startOffset", &self.name(after)))).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead, StoreError> {
        let action = format!("look at {key:?}");
        self.check(&action, key)?;
        let attempt = || async {
            let resource = self.look(&action, key, None).await?;
            resource.head().map_err(|detail| self.protocol(&action, detail))
        };
        self.options.retry.run(attempt).await
    }

    /// Two requests: an answer that holds the content does not tell the metadata.
    async fn get(&self, key: &str, range: ByteRange, etag: Option<&str>) -> Result<(ObjectHead, Body), StoreError> {
        let action = format!("read {key:?}");
        self.check(&action, key)?;
        let pinned = etag.filter(|etag| !etag.is_empty());
        // Of a generation that was asked for, it is known that it was there.
        let gone = |mut error: StoreError| {
            if error.kind == StoreErrorKind::NotFound {
                error.kind = StoreErrorKind::Changed;
            }
            error
        };
        let attempt = || async {
            let resource = self.look(&action, key, pinned).await;
            let resource = if pinned.is_some() { resource.map_err(gone) } else { resource }?;
            let head = resource.head().map_err(|detail| self.protocol(&action, detail))?;
            self.options.retry.another_request().await;
            let body = self.media(&action, key, &head, range).await.map_err(gone)?;
            Ok((head, body))
        };
        self.options.retry.run(attempt).await
    }

    async fn put(
        &self,
        key: &str,
        attributes: &Attributes,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let action = format!("write {key:?}");
        self.check(&action, key)?;
        let insert = Insert::new(key, attributes, &payload);
        let conditions = matching(condition);
        self.options.retry.run(|| self.insert(&action, &insert, &conditions)).await
    }

    async fn copy_from(
        &self,
        source: &CopySource<'_>,
        key: &str,
        condition: &Condition,
    ) -> Result<StoreCopy, StoreError> {
        self.rewrite(source, key, condition).await
    }

    async fn create_multipart(&self, key: &str, attributes: &Attributes) -> Result<String, StoreError> {
        self.begin(key, attributes)
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        self.write_part(key, upload, number, &payload).await
    }

    async fn complete_multipart(
        &self,
        key: &str,
        upload: &str,
        parts: &[UploadedPart],
        _: Option<Checksum>,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        self.compose_parts(key, upload, parts, condition).await
    }

    async fn abort_multipart(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        self.remove_parts(key, upload).await
    }

    async fn abort_leftovers(&self, key: &str) -> Result<(), StoreError> {
        self.remove_leftovers(key).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let action = format!("delete {key:?}");
        self.check(&action, key)?;
        let attempt = || self.ask(&action, Request::delete(self.object(key, "")), Bytes::new());
        match self.options.retry.run(attempt).await {
            Err(error) if error.kind != StoreErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn probe(&self) -> Result<Capabilities, StoreError> {
        self.capabilities().await
    }
}

impl GcsStore {
    /// One page of a listing, from where a parameter says.
    async fn page(&self, prefix: &str, from: Option<(&str, &str)>) -> Result<ListPage, StoreError> {
        let action = format!("list the objects below {prefix:?}");
        let prefix = self.name(prefix);
        let mut parameters = vec![("prefix", prefix.as_str()), ("maxResults", PAGE), ("fields", LISTING_FIELDS)];
        parameters.extend(from);
        let url = self.bucket(&format!("/o?{}", query(&parameters)));
        let attempt = || async {
            let answer = self.ask_bucket(&action, &url).await?;
            read_page(&answer.body, &self.location.prefix).map_err(|detail| self.protocol(&action, detail))
        };
        self.options.retry.run(attempt).await
    }

    /// The bytes of one generation from `offset` on.
    async fn media(&self, action: &str, key: &str, head: &ObjectHead, range: ByteRange) -> Result<Body, StoreError> {
        let url = self.object(key, &format!("?{}", query(&[("alt", "media"), ("generation", &head.etag)])));
        let mut request = Request::get(url);
        if let Some(range) = range.header() {
            request = request.header("range", range);
        }
        let (answer, body) = self.open(action, request).await?.into_parts();
        // What is kept compressed comes as it was before, and without a size.
        let may_be_unsized = range.from == 0 && range.end_in(head.size) == head.size;
        if !may_be_unsized || answer.status == StatusCode::PARTIAL_CONTENT {
            range.whole_size(&answer.headers).map_err(|detail| self.protocol(action, detail))?;
        }
        Ok(self.http.stream(&self.place, key, body))
    }
}
