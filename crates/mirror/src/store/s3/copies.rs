//! Copies that the service makes by itself: the bytes do not come here.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, StatusCode};

use super::S3Store;
use super::classify::classify;
use super::conditions::conditional;
use super::multipart::copied;
use crate::store::http::{encoded_path, header, http_date};
use crate::{Checksum, Condition, CopySource, ObjectStore as _, StoreError, Written};

/// What one request copies at most.
const LARGEST_COPY: u64 = 5 * 1024 * 1024 * 1024;

/// The least that a service is expected to copy, in bytes a second.
const SLOWEST: u64 = 10 * 1024 * 1024;

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
    ) -> Result<Option<Written>, StoreError> {
        if source.version.size > LARGEST_COPY || self.refused_copies.load(Ordering::Relaxed) >= MOST_REFUSALS {
            return Ok(None);
        }
        let outcome = match self.proof_of(source).await {
            Ok(Some(proof)) => self.copy_once(source, key, condition, &proof).await,
            // Of this object; others may have what proves them.
            Ok(None) => return Ok(None),
            Err(error) => Err(error),
        };
        if let Ok(Some(_)) = &outcome {
            self.refused_copies.store(0, Ordering::Relaxed);
        } else {
            // That it copied and nothing shows it is as good as a refusal, and more work.
            self.refused_copies.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    async fn proof_of(&self, source: &CopySource<'_>) -> Result<Option<Proof>, StoreError> {
        if is_digest(&source.version.etag) {
            return Ok(Some(Proof::ETag));
        }
        let head = source.store.head(source.key).await?;
        Ok(head.whole_checksum().filter(|_| head.etag == source.version.etag).map(Proof::Checksum))
    }

    async fn copy_once(
        &self,
        source: &CopySource<'_>,
        key: &str,
        condition: &Condition,
        proof: &Proof,
    ) -> Result<Option<Written>, StoreError> {
        let (action, url) = (format!("let the store copy {key:?}"), self.object(key, &[]));
        let place = source.store.place();
        let from = encoded_path(&format!("/{}/{}{}", place.bucket, place.prefix, source.key));
        let more = Duration::from_secs(source.version.size / SLOWEST);
        let attempt = || async {
            let request = conditional(Request::put(&url), condition)
                .header("x-amz-copy-source", &from)
                .header("x-amz-copy-source-if-match", format!("\"{}\"", source.version.etag));
            let answer = self.ask_within(more, &action, request, None).await?;
            let etag = copied(&answer.body).map_err(|detail| self.protocol(&action, detail))?;
            let failed = || {
                let failure = classify(StatusCode::INTERNAL_SERVER_ERROR, &answer.headers, &answer.body);
                self.failed(&action)(failure)
            };
            let modified = header(&answer.headers, "date").and_then(http_date);
            Ok(Written { etag: etag.ok_or_else(failed)?, modified, checksum: None })
        };
        let written = self.options.retry.run(attempt).await?;
        self.prove_copy(source, key, written, proof).await
    }

    /// What the service says it has made, if that is the source's content.
    async fn prove_copy(
        &self,
        source: &CopySource<'_>,
        key: &str,
        written: Written,
        proof: &Proof,
    ) -> Result<Option<Written>, StoreError> {
        let wanted = match proof {
            Proof::ETag if written.etag == source.version.etag && written.modified.is_some() => {
                return Ok(Some(written));
            }
            Proof::ETag => source.store.head(source.key).await?.whole_checksum(),
            Proof::Checksum(checksum) => Some(*checksum),
        };
        let head = self.head(key).await?;
        let is_same = wanted.is_some() && wanted == head.whole_checksum() && head.size == source.version.size;
        Ok(is_same.then_some(Written { modified: Some(head.modified), checksum: head.checksum, etag: head.etag }))
    }
}

/// Whether an ETag is of one piece of content.
fn is_digest(etag: &str) -> bool {
    etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}
