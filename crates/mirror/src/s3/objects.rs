use async_trait::async_trait;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart, EncodingType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;

use super::S3Store;
use super::classify::{chain, classify};
use super::listing::{bare_etag, read_page};
use crate::{
    Attributes, Body, Capabilities, ListPage, ObjectHead, ObjectStore, Place, Sha256, StoreError, StoreErrorKind,
    StoredChecksum,
};

impl S3Store {
    pub(super) fn failed<E>(&self, action: impl Into<String>) -> impl FnOnce(SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let action = action.into();
        move |error| {
            let (kind, detail) = classify(&error);
            self.place.error(kind, action, detail)
        }
    }

    /// A body that fails when the next bytes do not come within the idle timeout.
    fn body(&self, key: &str, body: ByteStream) -> Body {
        let (place, idle, key) = (self.place.clone(), self.options.idle_timeout, key.to_owned());
        let chunks = stream::unfold(body, move |mut body| {
            let (place, key) = (place.clone(), key.clone());
            async move {
                let failed = |detail| place.error(StoreErrorKind::Unreachable, format!("read on in {key:?}"), detail);
                let chunk = match tokio::time::timeout(idle, body.next()).await {
                    Ok(chunk) => chunk?.map_err(|error| failed(chain(&error))),
                    Err(_) => Err(failed("no bytes in time".to_owned())),
                };
                Some((chunk, body))
            }
        });
        chunks.boxed()
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn place(&self) -> &Place {
        &self.place
    }

    async fn list_page(&self, prefix: &str, continuation: Option<String>) -> Result<ListPage, StoreError> {
        let action = || format!("list the objects below {prefix:?}");
        let attempt = || async {
            let request = self.client.list_objects_v2().bucket(&self.location.bucket).prefix(self.key(prefix));
            // Without it, a key with a control character would make the answer invalid XML.
            let request = request.encoding_type(EncodingType::Url).set_continuation_token(continuation.clone());
            let page = request.send().await.map_err(self.failed(action()))?;
            read_page(page, &self.location.prefix)
                .map_err(|detail| self.place.error(StoreErrorKind::Protocol, action(), detail))
        };
        self.options.retry.run(attempt).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead, StoreError> {
        let attempt = || async {
            let request = self.client.head_object().bucket(&self.location.bucket).key(self.key(key));
            let head = request.checksum_mode(ChecksumMode::Enabled).send().await;
            head.map_err(self.failed(format!("look at {key:?}"))).and_then(|head| {
                head_of(head)
                    .map_err(|detail| self.place.error(StoreErrorKind::Protocol, format!("look at {key:?}"), detail))
            })
        };
        self.options.retry.run(attempt).await
    }

    async fn get(&self, key: &str, offset: u64, etag: Option<&str>) -> Result<(ObjectHead, Body), StoreError> {
        let action = || format!("read {key:?}");
        let attempt = || async {
            let mut request = self.client.get_object().bucket(&self.location.bucket).key(self.key(key));
            if offset > 0 {
                request = request.range(format!("bytes={offset}-"));
            }
            if let Some(etag) = etag.filter(|etag| !etag.is_empty()) {
                request = request.if_match(format!("\"{etag}\""));
            }
            let mut answer = request.send().await.map_err(self.failed(action()))?;
            let body = std::mem::take(&mut answer.body);
            let head = head_of_get(answer, offset)
                .map_err(|detail| self.place.error(StoreErrorKind::Protocol, action(), detail))?;
            // A store may not know If-Match: then only its answer tells that the object is another one.
            if etag.is_some_and(|etag| etag != head.etag) {
                return Err(self.place.error(StoreErrorKind::Changed, action(), ""));
            }
            Ok((head, self.body(key, body)))
        };
        self.options.retry.run(attempt).await
    }

    async fn put(&self, key: &str, attributes: &Attributes, body: Bytes, sha256: Sha256) -> Result<String, StoreError> {
        let timeouts = self.options.timeouts(body.len());
        let attempt = || async {
            let request = self.client.put_object().bucket(&self.location.bucket).key(self.key(key));
            let request = request
                .set_content_type(attributes.content_type.clone())
                .set_cache_control(attributes.cache_control.clone())
                .set_content_encoding(attributes.content_encoding.clone())
                .set_content_disposition(attributes.content_disposition.clone())
                .set_content_language(attributes.content_language.clone())
                .set_metadata(Some(attributes.metadata.clone().into_iter().collect()))
                .checksum_sha256(BASE64.encode(sha256.as_bytes()))
                .body(ByteStream::from(body.clone()));
            let request = request.customize().config_override(Builder::new().timeout_config(timeouts.clone()));
            request.send().await.map(|answer| bare_etag(answer.e_tag)).map_err(self.failed(format!("write {key:?}")))
        };
        self.options.retry.run(attempt).await
    }

    async fn create_multipart(&self, key: &str, attributes: &Attributes) -> Result<String, StoreError> {
        let action = || format!("begin the multipart upload of {key:?}");
        let attempt = || async {
            let request = self.client.create_multipart_upload().bucket(&self.location.bucket).key(self.key(key));
            let request = request
                .set_content_type(attributes.content_type.clone())
                .set_cache_control(attributes.cache_control.clone())
                .set_content_encoding(attributes.content_encoding.clone())
                .set_content_disposition(attributes.content_disposition.clone())
                .set_content_language(attributes.content_language.clone())
                .set_metadata(Some(attributes.metadata.clone().into_iter().collect()))
                .checksum_algorithm(ChecksumAlgorithm::Sha256);
            let answer = request.send().await.map_err(self.failed(action()))?;
            answer.upload_id.ok_or_else(|| self.place.error(StoreErrorKind::Protocol, action(), "no upload id"))
        };
        self.options.retry.run(attempt).await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: u32,
        body: Bytes,
        sha256: Sha256,
    ) -> Result<String, StoreError> {
        let timeouts = self.options.timeouts(body.len());
        let attempt = || async {
            let request = self.client.upload_part().bucket(&self.location.bucket).key(self.key(key));
            let request = request
                .upload_id(upload)
                .part_number(number.cast_signed())
                .checksum_sha256(BASE64.encode(sha256.as_bytes()))
                .body(ByteStream::from(body.clone()));
            let request = request.customize().config_override(Builder::new().timeout_config(timeouts.clone()));
            let answer = request.send().await.map_err(self.failed(format!("write part {number} of {key:?}")))?;
            Ok(bare_etag(answer.e_tag))
        };
        self.options.retry.run(attempt).await
    }

    async fn complete_multipart(&self, key: &str, upload: &str, parts: &[(String, Sha256)]) -> Result<(), StoreError> {
        let parts = (1..).zip(parts).map(|(number, (etag, sha256))| {
            let part = CompletedPart::builder().part_number(number).e_tag(format!("\"{etag}\""));
            part.checksum_sha256(BASE64.encode(sha256.as_bytes())).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let attempt = || async {
            let request = self.client.complete_multipart_upload().bucket(&self.location.bucket).key(self.key(key));
            let request = request.upload_id(upload).multipart_upload(parts.clone());
            request.send().await.map(|_| ()).map_err(self.failed(format!("complete the multipart upload of {key:?}")))
        };
        self.options.retry.run(attempt).await
    }

    async fn abort_multipart(&self, key: &str, upload: &str) -> Result<(), StoreError> {
        let attempt = || async {
            let request = self.client.abort_multipart_upload().bucket(&self.location.bucket).key(self.key(key));
            let answer = request.upload_id(upload).send().await;
            answer.map(|_| ()).map_err(self.failed(format!("abort the multipart upload of {key:?}")))
        };
        self.options.retry.run(attempt).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let attempt = || async {
            let request = self.client.delete_object().bucket(&self.location.bucket).key(self.key(key));
            request.send().await.map(|_| ()).map_err(self.failed(format!("delete {key:?}")))
        };
        self.options.retry.run(attempt).await
    }

    async fn probe(&self) -> Result<Capabilities, StoreError> {
        self.capabilities().await
    }
}

fn head_of(head: HeadObjectOutput) -> Result<ObjectHead, String> {
    Ok(ObjectHead {
        size: head.content_length.and_then(|size| u64::try_from(size).ok()).ok_or("no size")?,
        etag: bare_etag(head.e_tag),
        modified: head.last_modified.map_or(0, |time| time.secs()),
        checksum: checksum(head.checksum_sha256.as_deref(), head.checksum_type.as_ref()),
        attributes: Attributes {
            content_type: head.content_type,
            cache_control: head.cache_control,
            content_encoding: head.content_encoding,
            content_disposition: head.content_disposition,
            content_language: head.content_language,
            metadata: head.metadata.unwrap_or_default().into_iter().collect(),
        },
    })
}

fn head_of_get(answer: GetObjectOutput, offset: u64) -> Result<ObjectHead, String> {
    let rest = answer.content_length.and_then(|size| u64::try_from(size).ok()).ok_or("no size")?;
    let range_start = answer.content_range.as_deref().and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
    if range_start.map_or(0, |(start, _)| start.parse().unwrap_or(u64::MAX)) != offset {
        return Err(format!("asked from byte {offset} on, got the range {:?}", answer.content_range));
    }
    Ok(ObjectHead {
        size: offset + rest,
        etag: bare_etag(answer.e_tag),
        modified: answer.last_modified.map_or(0, |time| time.secs()),
        checksum: checksum(answer.checksum_sha256.as_deref(), answer.checksum_type.as_ref()),
        attributes: Attributes {
            content_type: answer.content_type,
            cache_control: answer.cache_control,
            content_encoding: answer.content_encoding,
            content_disposition: answer.content_disposition,
            content_language: answer.content_language,
            metadata: answer.metadata.unwrap_or_default().into_iter().collect(),
        },
    })
}

/// The form tells the kind: a composite checksum ends with `-` and the number of parts, which some stores leave out.
fn checksum(value: Option<&str>, kind: Option<&ChecksumType>) -> Option<StoredChecksum> {
    let (digest, parts) = match value?.split_once('-') {
        Some((digest, parts)) => (digest, Some(parts.parse().ok()?)),
        None if kind == Some(&ChecksumType::Composite) => return None,
        None => (value?, None),
    };
    let sha256 = Sha256::from_slice(&BASE64.decode(digest).ok()?)?;
    Some(parts.map_or(StoredChecksum::Whole(sha256), |parts| StoredChecksum::Composite { sha256, parts }))
}

#[cfg(test)]
mod tests {
    use super::{BASE64, checksum};
    use crate::{Sha256, StoredChecksum};
    use aws_sdk_s3::types::ChecksumType;
    use base64::Engine as _;

    #[test]
    fn the_form_of_a_checksum_tells_its_kind() {
        let sha256 = Sha256::of(b"x");
        let text = BASE64.encode(sha256.as_bytes());
        assert_eq!(checksum(Some(&text), None), Some(StoredChecksum::Whole(sha256)));
        assert_eq!(checksum(Some(&format!("{text}-3")), None), Some(StoredChecksum::Composite { sha256, parts: 3 }));
        assert_eq!(checksum(Some(&text), Some(&ChecksumType::Composite)), None);
        assert_eq!(checksum(Some("AAAA"), None), None);
        assert_eq!(checksum(None, None), None);
    }
}
