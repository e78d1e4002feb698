use async_trait::async_trait;
use http::{HeaderMap, Request};

use super::S3Store;
use super::conditions::conditional;
use super::multipart::NamedPart;
use super::uploads::{CRC64NVME_OF_THE_WHOLE, SHA256_OF_PARTS};
use super::{attributes, checksum, listing, multipart};
use crate::store::http::{header, http_date};
use crate::transfer::live::Content;
use crate::{
    Attributes, Body, ByteRange, Capabilities, Checksum, ChecksumAlgorithm, Condition, CopySource, ListPage, LivePart,
    ObjectHead, ObjectStore, Payload, Place, Proof, StoreCopy, StoreError, StoreErrorKind, StoredChecksum, Tags,
    TagsLost, UploadedPart, Written,
};

#[async_trait]
impl ObjectStore for S3Store {
    fn place(&self) -> &Place {
        &self.place
    }

    fn proof(&self) -> Proof {
        Proof::Told(self.algorithm())
    }

    fn tags_lost(&self, tags: &Tags) -> Option<TagsLost> {
        self.tag_support.why_lost(tags)
    }

    async fn list_page(&self, prefix: &str, continuation: Option<String>) -> Result<ListPage, StoreError> {
        self.page(prefix, continuation.as_deref().map(|token| ("continuation-token", token))).await
    }

    async fn list_page_after(&self, prefix: &str, after: &str) -> Result<ListPage, StoreError> {
        let after = format!("{}{after}", self.location.prefix);
        match self.page(prefix, Some(("start-after", &after))).await {
            // Directory buckets have no order to begin in.
            Err(error) if error.kind == StoreErrorKind::Rejected => self.page(prefix, None).await,
            page => page,
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectHead, StoreError> {
        let (action, url) = (format!("look at {key:?}"), self.object(key, &[]));
        let attempt = || async {
            let request = Request::head(&url).header("x-amz-checksum-mode", "ENABLED");
            let answer = self.ask(&action, request, None).await?;
            head_of(&answer.headers, ByteRange::ALL).map_err(|detail| self.protocol(&action, detail))
        };
        self.options.retry.run(attempt).await
    }

    async fn tags(&self, key: &str) -> Result<Tags, StoreError> {
        self.read_tags(key).await
    }

    async fn get(&self, key: &str, range: ByteRange, etag: Option<&str>) -> Result<(ObjectHead, Body), StoreError> {
        let (action, url) = (format!("read {key:?}"), self.object(key, &[]));
        let attempt = || async {
            let mut request = Request::get(&url).header("x-amz-checksum-mode", "ENABLED");
            if let Some(range) = range.header() {
                request = request.header("range", range);
            }
            if let Some(etag) = etag.filter(|etag| !etag.is_empty()) {
                request = request.header("if-match", format!("\"{etag}\""));
            }
            let (answer, body) = self.open(&action, request).await?.into_parts();
            let head = head_of(&answer.headers, range).map_err(|detail| self.protocol(&action, detail))?;
            // A store may not know If-Match: then only its answer tells that the object is another one.
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
        let attributes = &*self.takes(attributes).await?;
        self.conditionally(condition, |condition| self.put_checked(key, attributes, payload.clone(), condition)).await
    }

    async fn first_part(&self, key: &str, etag: &str) -> Result<Option<u64>, StoreError> {
        let (action, url) = (format!("look at the first part of {key:?}"), self.object(key, &[("partNumber", "1")]));
        let attempt = || async {
            let request = Request::head(&url).header("if-match", format!("\"{etag}\""));
            let answer = self.ask(&action, request, None).await?;
            Ok(header(&answer.headers, "content-length").and_then(|length| length.parse().ok()))
        };
        match self.options.retry.run(attempt).await {
            // It knows no parts of what is complete.
            Err(error) if error.kind == StoreErrorKind::Rejected => Ok(None),
            told => told,
        }
    }

    async fn copy_from(
        &self,
        source: &CopySource<'_>,
        key: &str,
        condition: &Condition,
    ) -> Result<StoreCopy, StoreError> {
        self.copy_within(source, key, condition).await
    }

    async fn create_multipart(&self, key: &str, attributes: &Attributes) -> Result<String, StoreError> {
        let attributes = &self.takes(attributes).await?;
        if self.algorithm() == ChecksumAlgorithm::Crc64Nvme {
            match self.begin(key, attributes, &CRC64NVME_OF_THE_WHOLE).await {
                Ok((upload, true)) => {
                    self.keeps_it();
                    return Ok(upload);
                }
                Ok((upload, false)) if self.keeps_crc64nvme().await? => return Ok(upload),
                Ok((upload, false)) => self.abort_multipart(key, &upload).await?,
                // It may keep that checksum, but not for what is made of parts.
                Err(error) if error.kind == StoreErrorKind::Rejected => self.refuses_it(),
                Err(error) => return Err(error),
            }
        }
        self.begin(key, attributes, &SHA256_OF_PARTS).await.map(|(upload, _)| upload)
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        let action = format!("write part {number} of {key:?}");
        let url = self.object(key, &[("partNumber", &number.to_string()), ("uploadId", upload)]);
        let attempt = || async {
            let request = checksum::write(Request::put(&url), payload.checksum());
            let answer = self.ask(&action, request, Some(payload.clone())).await?;
            Ok(UploadedPart::new(etag_of(&answer.headers), &payload))
        };
        self.options.retry.run(attempt).await
    }

    async fn takes_live_parts(&self) -> bool {
        // A store that asks to slow down refuses parts, each of which would be read again.
        self.options.retry.is_unhindered() && self.takes_trailers().await
    }

    async fn tells_checksums_of_parts(&self) -> bool {
        self.tells_parts().await
    }

    async fn put_live_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        part: &LivePart,
    ) -> Result<UploadedPart, StoreError> {
        let action = &format!("write part {number} of {key:?}");
        let url = &self.object(key, &[("partNumber", &number.to_string()), ("uploadId", upload)]);
        let attempt = |content| async move {
            let request = Request::put(url);
            match content {
                Content::Live(pieces) if part.is_told() => self.send_bare(action, request, part.size(), pieces).await,
                Content::Live(pieces) => self.send_live(action, request, part.size(), pieces).await,
                Content::Kept(payload) => {
                    let request = checksum::write(request, payload.checksum());
                    self.ask(action, request, Some(payload)).await
                }
            }
        };
        let answer = self.options.retry.run_with(|| part.content(), attempt).await?;
        let checksum = match part.checksum().await? {
            Some(computed) => computed,
            None => self.told(action, &answer.headers)?,
        };
        Ok(UploadedPart { etag: etag_of(&answer.headers), size: part.size(), checksum })
    }

    async fn complete_multipart(
        &self,
        key: &str,
        upload: &str,
        parts: &[UploadedPart],
        whole: Option<Checksum>,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let parts: Vec<_> = parts.iter().map(NamedPart::from).collect();
        let complete = |condition| self.complete_once(key, upload, &parts, whole, condition);
        self.conditionally(condition, complete).await
    }

    async fn abort_multipart(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let action = format!("abort the multipart upload of {key:?}");
        let url = self.object(key, &[("uploadId", upload)]);
        match self.options.retry.run(|| self.ask(&action, Request::delete(&url), None)).await {
            Err(error) if error.kind != StoreErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn abort_leftovers(&self, key: &str) -> Result<(), StoreError> {
        let action = format!("look for unfinished uploads of {key:?}");
        let wanted = format!("{}{key}", self.location.prefix);
        let mut marker: Option<(String, String)> = None;
        loop {
            let mut parameters = vec![("encoding-type", "url"), ("prefix", wanted.as_str()), ("uploads", "")];
            if let Some((key, upload)) = &marker {
                parameters.extend([("key-marker", key.as_str()), ("upload-id-marker", upload)]);
            }
            let url = self.bucket(&parameters);
            let attempt = || async {
                let answer = self.ask(&action, Request::get(&url), None).await?;
                multipart::read_uploads(&answer.body).map_err(|detail| self.protocol(&action, detail))
            };
            let page = self.options.retry.run(attempt).await?;
            for (found, upload) in page.uploads {
                // The prefix has longer keys, too.
                if found == wanted {
                    self.abort_multipart(key, &upload).await?;
                }
            }
            marker = page.next;
            if marker.is_none() {
                return Ok(());
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let (action, url) = (format!("delete {key:?}"), self.object(key, &[]));
        match self.options.retry.run(|| self.ask(&action, Request::delete(&url), None)).await {
            Err(error) if error.kind != StoreErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn probe(&self) -> Result<Capabilities, StoreError> {
        self.capabilities().await
    }
}

impl S3Store {
    /// One page of a listing, from where a parameter says.
    async fn page(&self, prefix: &str, from: Option<(&str, &str)>) -> Result<ListPage, StoreError> {
        let action = format!("list the objects below {prefix:?}");
        let prefix = format!("{}{prefix}", self.location.prefix);
        // Without the encoding, a key with a control character would make the answer invalid XML.
        let mut parameters = vec![("encoding-type", "url"), ("list-type", "2"), ("prefix", prefix.as_str())];
        parameters.extend(from);
        let url = self.bucket(&parameters);
        let attempt = || async {
            let answer = self.ask(&action, Request::get(&url), None).await?;
            listing::read_page(&answer.body, &self.location.prefix).map_err(|detail| self.protocol(&action, detail))
        };
        self.options.retry.run(attempt).await
    }

    /// The checksum of a part as the store tells it.
    fn told(&self, action: &str, headers: &HeaderMap) -> Result<Checksum, StoreError> {
        match checksum::read(headers) {
            Some(StoredChecksum::Whole(told @ Checksum::Crc64Nvme(_))) => Ok(told),
            _ => Err(self.place.error(
                StoreErrorKind::Corrupt,
                action,
                "the store tells no checksum of it, as it did before",
            )),
        }
    }

    pub(super) async fn put_once(
        &self,
        key: &str,
        attributes: &Attributes,
        payload: &Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let (action, url) = (format!("write {key:?}"), self.object(key, &[]));
        let attempt = || async {
            let request = attributes::write(Request::put(&url), attributes);
            let request = checksum::write(conditional(request, condition), payload.checksum());
            let answer = self.ask(&action, request, Some(payload.clone())).await?;
            self.notice(&answer);
            Ok(Written {
                etag: etag_of(&answer.headers),
                modified: header(&answer.headers, "date").and_then(http_date),
                checksum: checksum::read(&answer.headers),
            })
        };
        self.options.retry.run(attempt).await
    }
}

fn etag_of(headers: &HeaderMap) -> String {
    header(headers, "etag").map(|etag| etag.trim_matches('"').to_owned()).unwrap_or_default()
}

/// What an answer says about an object, of which it holds these bytes.
fn head_of(headers: &HeaderMap, range: ByteRange) -> Result<ObjectHead, String> {
    Ok(ObjectHead {
        size: range.whole_size(headers)?,
        etag: etag_of(headers),
        modified: header(headers, "last-modified").and_then(http_date).unwrap_or_default(),
        attributes: attributes::read(headers),
        checksum: checksum::read(headers),
        tag_count: attributes::tag_count(headers),
    })
}
