//! Copies of objects that are too large for one request: the service makes them part by part.

use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::Request;

use super::S3Store;
use super::copies::{SLOWEST, from_source};
use super::cut::Cut;
use super::multipart::{NamedPart, copied_part};
use super::uploads::CRC64NVME_OF_THE_WHOLE;
use crate::{
    Attributes, ByteRange, Checksum, ChecksumAlgorithm, Condition, CopySource, ObjectHead, ObjectStore as _, StoreCopy,
    StoreError, Written,
};

/// Parts that the service copies at once.
const AT_ONCE: usize = 8;

impl S3Store {
    pub(super) async fn copy_in_parts(
        &self,
        source: &CopySource<'_>,
        key: &str,
        condition: &Condition,
    ) -> Result<StoreCopy, StoreError> {
        let head = source.store.head(source.key).await?;
        if head.etag != source.version.etag {
            return Ok(StoreCopy::None);
        }
        let first_part = source.store.first_part(source.key, &head.etag).await?;
        let told = first_part.and_then(|part| Cut::of_source(head.size, &head.etag, part));
        let whole = head.whole_checksum().filter(|checksum| self.computes(*checksum));
        if told.is_none() && whole.is_none() {
            return Ok(StoreCopy::None);
        }
        let Some(attributes) = self.all_of(source, &head).await? else { return Ok(StoreCopy::None) };
        // What a pass that was killed has left.
        if let Err(error) = self.abort_leftovers(key).await {
            tracing::debug!(%error, "uploads that nobody will end may be left");
        }
        let checking = if whole.is_some() { &CRC64NVME_OF_THE_WHOLE[..] } else { &[] };
        let (upload, _) = self.begin(key, &attributes, checking).await?;
        let cut = told.unwrap_or_else(|| Cut::own(head.size));
        match self.copy_and_complete(source, key, &upload, cut, condition).await {
            Ok(_) => self.prove_copy(source, key, head.whole_checksum()).await,
            Err(error) => {
                if let Err(error) = self.abort_multipart(key, &upload).await {
                    tracing::warn!(%error, "parts of an unfinished copy may be left; a lifecycle rule of the bucket removes them");
                }
                Err(error)
            }
        }
    }

    /// Whether it computes this checksum of an object that is made of parts.
    fn computes(&self, checksum: Checksum) -> bool {
        matches!(checksum, Checksum::Crc64Nvme(_)) && self.algorithm() == ChecksumAlgorithm::Crc64Nvme
    }

    /// What the object carries beside its bytes: for a copy in parts it has to be said. `None` when some of it would be lost.
    async fn all_of(&self, source: &CopySource<'_>, head: &ObjectHead) -> Result<Option<Attributes>, StoreError> {
        // Of its tags only an answer with content tells.
        let last = ByteRange::starting_at(head.size.saturating_sub(1));
        let (of_content, _) = source.store.get(source.key, last, Some(&head.etag)).await?;
        let mut attributes = head.attributes.clone();
        if of_content.tag_count > 0 {
            attributes.tags = source.store.tags(source.key).await?;
        }
        let kept = self.takes(&attributes).await?;
        Ok((kept.tags == attributes.tags).then_some(attributes))
    }

    async fn copy_and_complete(
        &self,
        source: &CopySource<'_>,
        key: &str,
        upload: &str,
        cut: Cut,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let copies = stream::iter(cut.ranges()).map(|range| self.copy_part(source, key, upload, range));
        let parts: Vec<NamedPart> = copies.buffered(AT_ONCE).try_collect().await?;
        // Without the checksum of the whole: what a store makes of those of parts that it has copied may be wrong (Versity's gateway)
        // where the content, and with it the ETag, is right. It is compared afterwards.
        let complete = |condition| self.complete_once(key, upload, &parts, None, condition);
        self.conditionally(condition, complete).await
    }

    async fn copy_part(
        &self,
        source: &CopySource<'_>,
        key: &str,
        upload: &str,
        (number, first, last): (u32, u64, u64),
    ) -> Result<NamedPart, StoreError> {
        let action = format!("let the store copy part {number} of {key:?}");
        let url = self.object(key, &[("partNumber", &number.to_string()), ("uploadId", upload)]);
        let more = Duration::from_secs((last - first) / SLOWEST);
        let attempt = || async {
            let request = from_source(Request::put(&url), source);
            let request = request.header("x-amz-copy-source-range", format!("bytes={first}-{last}"));
            let answer = self.ask_within(more, &action, request, None).await?;
            let part = copied_part(&answer.body).map_err(|detail| self.protocol(&action, detail))?;
            part.ok_or_else(|| self.failed_after_all(&action, &answer))
        };
        self.options.retry.run(attempt).await
    }
}
