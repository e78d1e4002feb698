use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::request::Builder;
use http::{HeaderMap, Request};
use md5::Digest as _;

use super::AzureStore;
use super::attributes::{from_headers, tag_count, to_headers};
use super::listing::{bare, read_page};
use crate::store::http::{Chunks, header, http_date, query};
use crate::{
    Attributes, Body, ByteRange, Capabilities, Checksum, Condition, ListPage, ObjectHead, ObjectStore, PartLimits,
    Payload, Place, Proof, StoreError, StoreErrorKind, Tags, TagsLost, UploadedPart, Written,
};

#[async_trait]
impl ObjectStore for AzureStore {
    fn place(&self) -> &Place {
        &self.place
    }

    fn proof(&self) -> Proof {
        Proof::Transit
    }

    fn tags_lost(&self, tags: &Tags) -> Option<TagsLost> {
        self.tag_support.why_lost(tags)
    }

    fn part_limits(&self) -> PartLimits {
        PartLimits::AZURE
    }

    async fn list_page(&self, prefix: &str, continuation: Option<String>) -> Result<ListPage, StoreError> {
        let action = format!("list the objects below {prefix:?}");
        let prefix = format!("{}{prefix}", self.location.prefix);
        let marker = continuation.unwrap_or_default();
        let mut parameters = vec![("restype", "container"), ("comp", "list")];
        // An empty one would be signed in another way than Azure does.
        parameters
            .extend([("prefix", prefix.as_str()), ("marker", &marker)].iter().filter(|(_, text)| !text.is_empty()));
        let url = format!("{}?{}", self.container, query(&parameters));
        let attempt = || async {
            let answer = self.ask(&action, Request::get(&url), Chunks::default()).await?;
            read_page(&answer.body, &self.location.prefix).map_err(|detail| self.protocol(&action, detail))
        };
        self.options.retry.run(attempt).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead, StoreError> {
        let action = format!("look at {key:?}");
        self.check(&action, key)?;
        let attempt = || async {
            let answer = self.ask(&action, Request::head(self.blob(key, &[])), Chunks::default()).await?;
            head_of(&answer.headers, ByteRange::ALL).map_err(|detail| self.protocol(&action, detail))
        };
        self.options.retry.run(attempt).await
    }

    async fn tags(&self, key: &str) -> Result<Tags, StoreError> {
        self.read_tags(key).await
    }

    async fn get(&self, key: &str, range: ByteRange, etag: Option<&str>) -> Result<(ObjectHead, Body), StoreError> {
        let action = format!("read {key:?}");
        self.check(&action, key)?;
        let etag = etag.filter(|etag| !etag.is_empty());
        let attempt = || async {
            let mut request = Request::get(self.blob(key, &[]));
            if let Some(range) = range.header() {
                request = request.header("range", range);
            }
            if let Some(etag) = etag {
                request = request.header("if-match", format!("\"{etag}\""));
            }
            let (answer, body) = self.open(&action, request).await?.into_parts();
            let head = head_of(&answer.headers, range).map_err(|detail| self.protocol(&action, detail))?;
            if etag.is_some_and(|etag| etag != head.etag) {
                return Err(self.place.error(StoreErrorKind::Changed, &action, ""));
            }
            Ok((head, self.http.stream(&self.place, key, body)))
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
        let attributes = self.takes(attributes).await?;
        self.put_as_it_is(key, &attributes, payload, condition).await
    }

    async fn create_multipart(&self, key: &str, attributes: &Attributes) -> Result<String, StoreError> {
        self.begin_blocks(key, attributes).await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        self.put_block(key, upload, number, payload).await
    }

    async fn complete_multipart(
        &self,
        key: &str,
        upload: &str,
        parts: &[UploadedPart],
        _: Option<Checksum>,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        self.commit_blocks(key, upload, parts, condition).await
    }

    /// Nothing is to do: Azure removes blocks that nobody committed after a week, and there is no way to do it earlier that
    /// would not touch the blob.
    async fn abort_multipart(&self, _: &str, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// Nothing is to do: what is committed leaves no other blocks of the blob.
    async fn abort_leftovers(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let action = format!("delete {key:?}");
        self.check(&action, key)?;
        // One with snapshots would stay otherwise.
        let attempt = || {
            let request = Request::delete(self.blob(key, &[])).header("x-ms-delete-snapshots", "include");
            self.ask(&action, request, Chunks::default())
        };
        match self.options.retry.run(attempt).await {
            Err(error) if error.kind != StoreErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn probe(&self) -> Result<Capabilities, StoreError> {
        self.capabilities().await
    }
}

impl AzureStore {
    /// Writes a whole blob with attributes that it can have.
    pub(super) async fn put_as_it_is(
        &self,
        key: &str,
        attributes: &Attributes,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let action = format!("write {key:?}");
        let mut headers = self.attributes(&action, key, attributes)?;
        headers.extend(condition.header().map(|(name, value)| (name.to_owned(), value)));
        let md5 = md5(payload.pieces());
        let attempt = || async {
            let request = self.put_blob(key, &md5);
            let answer = self.ask(&action, with(request, &headers), payload.clone().into_chunks()).await?;
            written(&answer.headers).map_err(|detail| self.protocol(&action, detail))
        };
        self.options.retry.run(attempt).await
    }

    pub(super) fn put_blob(&self, key: &str, md5: &str) -> Builder {
        Request::put(self.blob(key, &[])).header("x-ms-blob-type", "BlockBlob").header("content-md5", md5)
    }

    pub(super) fn attributes(
        &self,
        action: &str,
        key: &str,
        attributes: &Attributes,
    ) -> Result<Vec<(String, String)>, StoreError> {
        self.check(action, key)?;
        to_headers(attributes).map_err(|detail| self.place.error(StoreErrorKind::Rejected, action, detail))
    }

    pub(super) fn protocol(&self, action: &str, detail: impl Into<String>) -> StoreError {
        self.place.error(StoreErrorKind::Protocol, action, detail)
    }
}

pub(super) fn with(request: Builder, headers: &[(String, String)]) -> Builder {
    headers.iter().fold(request, |request, (name, value)| request.header(name, value))
}

/// Azure refuses a content that does not fit it, and keeps that of a blob written at once.
pub(super) fn md5<'a>(pieces: impl IntoIterator<Item = &'a Bytes>) -> String {
    let mut hasher = md5::Md5::new();
    pieces.into_iter().for_each(|piece| hasher.update(piece));
    BASE64.encode(hasher.finalize())
}

fn etag(headers: &HeaderMap) -> Result<String, String> {
    header(headers, "etag").map(bare).ok_or_else(|| "no ETag".to_owned())
}

/// What an answer says of a blob that was just written.
pub(super) fn written(headers: &HeaderMap) -> Result<Written, String> {
    let modified = header(headers, "last-modified").and_then(http_date);
    Ok(Written { etag: etag(headers)?, modified, checksum: None })
}

/// What an answer says about a blob, of which it holds these bytes.
fn head_of(headers: &HeaderMap, range: ByteRange) -> Result<ObjectHead, String> {
    Ok(ObjectHead {
        size: range.whole_size(headers)?,
        etag: etag(headers)?,
        modified: header(headers, "last-modified").and_then(http_date).unwrap_or_default(),
        attributes: from_headers(headers),
        checksum: None,
        tag_count: tag_count(headers),
    })
}
