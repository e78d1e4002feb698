//! Copies that the service makes by itself: the bytes do not come here.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Request;
use http::request::Builder;

use super::S3Store;
use super::conditions::conditional;
use super::multipart::copied;
use crate::store::http::{encoded_path, header, http_date};
use crate::{Checksum, Condition, CopySource, ObjectStore as _, StoreCopy, StoreError, Written};

/// The least that a service is expected to copy, in bytes a second.
pub(super) const SLOWEST: u64 = 10 * 1024 * 1024;

/// So many refusals in a row are enough to ask no more.
const MOST_REFUSALS: u32 = 8;

/// What proves a copy.
enum Proof {
    /// An ETag that is the same for the same content. One over parts is that of another cut.
    ETag,
    Checksum(Checksum),
}

impl S3Store {
    pub(super) async fn copy_within(
        &self,
        source: &CopySource<'_>,
        key: &str,
        condition: &Condition,
    ) -> Result<StoreCopy, StoreError> {
        if self.refused_copies.load(Ordering::Relaxed) >= MOST_REFUSALS {
            return Ok(StoreCopy::None);
        }
        let copied = if source.version.size > self.largest_copy {
            self.copy_in_parts(source, key, condition).await
        } else {
            self.copy_at_once(source, key, condition).await
        };
        match &copied {
            Ok(StoreCopy::Proven(_)) => self.refused_copies.store(0, Ordering::Relaxed),
            // That it copied and nothing shows it is as good as a refusal, and more work.
            Ok(StoreCopy::Unproven(_)) | Err(_) => _ = self.refused_copies.fetch_add(1, Ordering::Relaxed),
            // It was not asked for this object. It may be for others.
            Ok(StoreCopy::None) => {}
        }
        copied
    }

    async fn copy_at_once(
        &self,
        source: &CopySource<'_>,
        key: &str,
        condition: &Condition,
    ) -> Result<StoreCopy, StoreError> {
        let Some(proof) = proof_of(source).await? else { return Ok(StoreCopy::None) };
        let (action, url) = (format!("let the store copy {key:?}"), self.object(key, &[]));
        let more = Duration::from_secs(source.version.size / SLOWEST);
        let attempt = || async {
            let request = from_source(conditional(Request::put(&url), condition), source);
            let answer = self.ask_within(more, &action, request, None).await?;
            let etag = copied(&answer.body).map_err(|detail| self.protocol(&action, detail))?;
            let etag = etag.ok_or_else(|| self.failed_after_all(&action, &answer))?;
            let modified = header(&answer.headers, "date").and_then(http_date);
            Ok(Written { etag, modified, checksum: None })
        };
        let written = self.options.retry.run(attempt).await?;
        let wanted = match proof {
            Proof::ETag if written.etag == source.version.etag && written.modified.is_some() => {
                return Ok(StoreCopy::Proven(written));
            }
            Proof::ETag => source.store.head(source.key).await?.whole_checksum(),
            Proof::Checksum(checksum) => Some(checksum),
        };
        self.prove_copy(source, key, wanted).await
    }

    /// What the service has made, if its ETag or its checksum is the source's.
    pub(super) async fn prove_copy(
        &self,
        source: &CopySource<'_>,
        key: &str,
        wanted: Option<Checksum>,
    ) -> Result<StoreCopy, StoreError> {
        let head = self.head(key).await?;
        let is_same = head.etag == source.version.etag || (wanted.is_some() && wanted == head.whole_checksum());
        if is_same && head.size == source.version.size {
            return Ok(StoreCopy::Proven(Written {
                modified: Some(head.modified),
                checksum: head.checksum,
                etag: head.etag,
            }));
        }
        Ok(StoreCopy::Unproven(head.etag))
    }
}

/// Names what a request copies, in its version.
pub(super) fn from_source(request: Builder, source: &CopySource<'_>) -> Builder {
    let place = source.store.place();
    let from = encoded_path(&format!("/{}/{}{}", place.bucket, place.prefix, source.key));
    let version = format!("\"{}\"", source.version.etag);
    request.header("x-amz-copy-source", from).header("x-amz-copy-source-if-match", version)
}

async fn proof_of(source: &CopySource<'_>) -> Result<Option<Proof>, StoreError> {
    if is_digest(&source.version.etag) {
        return Ok(Some(Proof::ETag));
    }
    let head = source.store.head(source.key).await?;
    Ok(head.whole_checksum().filter(|_| head.etag == source.version.etag).map(Proof::Checksum))
}

/// Whether an ETag is of one piece of content.
fn is_digest(etag: &str) -> bool {
    etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}
