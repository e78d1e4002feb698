use futures::stream::{self, StreamExt as _};
use http::Request;
use http::request::Builder;

use super::conditions::conditional;
use super::uploads::CRC64NVME_OF_THE_WHOLE;
use super::{S3Store, checksum, multipart};
use crate::content::{Digests, Hashing, Wanted};
use crate::store::probe::{CONTENT, answered, probe_key};
use crate::transfer::live::Piece;
use crate::{
    Attributes, Capabilities, Checksum, ChecksumAlgorithm, Condition, ObjectStore as _, Payload, RESERVED_PREFIX,
    Sha256, StoreError, StoreErrorKind,
};

/// A content with other checksums than those of the test object.
const ANOTHER: &[u8] = b"something else";

impl S3Store {
    pub(super) async fn capabilities(&self) -> Result<Capabilities, StoreError> {
        self.list_page(RESERVED_PREFIX, None).await?;
        let mut found = Capabilities { versioning: self.versioning().await, ..Capabilities::default() };
        let key = probe_key();
        match self.put(&key, &Attributes::default(), Payload::of(CONTENT), &Condition::Any).await {
            Ok(_) => found.writable = true,
            Err(error) if error.kind == StoreErrorKind::CredentialsRefused => return Ok(found),
            Err(error) => return Err(error),
        }
        let findings = self.try_writes(&key, &mut found).await;
        let removal = self.delete(&key).await;
        findings.and(removal).map(|()| found)
    }

    async fn try_writes(&self, key: &str, found: &mut Capabilities) -> Result<(), StoreError> {
        // First of all: every further write changes what the store keeps.
        let wrong = Checksum::Sha256(Sha256::of(ANOTHER));
        if self.head(key).await?.checksum.is_some() && self.refuses(key, wrong).await? {
            found.checksums.push(ChecksumAlgorithm::Sha256);
        }
        found.conditional_writes = self.refuses_overwrite(key).await?;
        for algorithm in [ChecksumAlgorithm::Crc32c, ChecksumAlgorithm::Crc64Nvme] {
            if self.checks(key, algorithm).await? {
                found.checksums.push(algorithm);
            }
        }
        Ok(())
    }

    async fn refuses_overwrite(&self, key: &str) -> Result<bool, StoreError> {
        let absent = |request| conditional(request, &Condition::Absent);
        let attempt = || self.write(key, "try a conditional write", absent);
        answered(self.options.retry.run(attempt).await, |kind| *kind == StoreErrorKind::Changed)
    }

    /// Whether the store checks this checksum on writing, and tells it afterwards. A store that only repeats what it was told proves
    /// nothing.
    pub(super) async fn checks(&self, key: &str, algorithm: ChecksumAlgorithm) -> Result<bool, StoreError> {
        let of = |content| Payload::checked_by(content, algorithm).checksum();
        Ok(self.keeps(key, of(CONTENT)).await? && self.refuses(key, of(ANOTHER)).await?)
    }

    /// Whether the store takes a content in the encoding in which its checksum follows, and refuses it with a wrong one.
    pub(super) async fn checks_trailer(&self, key: &str) -> Result<bool, StoreError> {
        let try_it = || self.write_live(key, "try a checksum behind a content", CONTENT);
        match self.options.retry.run(try_it).await {
            Err(error) if matches!(error.kind, StoreErrorKind::Rejected | StoreErrorKind::Corrupt) => return Ok(false),
            other => other?,
        }
        let (head, of_it) = (self.head(key).await?, Payload::checked_by(CONTENT, ChecksumAlgorithm::Crc64Nvme));
        // One that does not know the encoding keeps the content in it.
        if head.size != of_it.size() || head.checksum != Some(of_it.checksum().into()) {
            return Ok(false);
        }
        let wrong = self.write_live(key, "try a wrong checksum behind a content", ANOTHER).await;
        answered(wrong, |kind| matches!(kind, StoreErrorKind::Corrupt | StoreErrorKind::Rejected))
    }

    /// Whether the store tells the CRC-64/NVME of a part that came without a checksum.
    pub(super) async fn tells_part(&self, key: &str) -> Result<bool, StoreError> {
        let (upload, is_checking) = match self.begin(key, &Attributes::default(), &CRC64NVME_OF_THE_WHOLE).await {
            Err(error) if error.kind == StoreErrorKind::Rejected => return Ok(false),
            begun => begun?,
        };
        let part = || {
            let pieces = [Ok(Piece::Bytes(CONTENT.into())), Ok(Piece::End(Digests::default()))];
            let request = Request::put(self.object(key, &[("partNumber", "1"), ("uploadId", &upload)]));
            self.send_bare("try a part without a checksum", request, CONTENT.len() as u64, stream::iter(pieces).boxed())
        };
        let answer = self.options.retry.run(part).await;
        let removal = self.abort_multipart(key, &upload).await;
        // One more may have begun when the answer to that was lost.
        if let Err(error) = self.abort_leftovers(key).await {
            tracing::debug!(%error, "uploads that nobody will end may be left");
        }
        let told = match answer {
            Err(error) if error.kind == StoreErrorKind::Rejected => None,
            answer => checksum::read(&answer?.headers),
        };
        let expected = Payload::checked_by(CONTENT, ChecksumAlgorithm::Crc64Nvme).checksum();
        removal.map(|()| is_checking && told == Some(expected.into()))
    }

    /// Writes the test object with the checksum of something behind it.
    async fn write_live(&self, key: &str, action: &str, summed: &[u8]) -> Result<(), StoreError> {
        let mut hashing = Hashing::new(1, Wanted::default());
        hashing.update(summed);
        let pieces = [Ok(Piece::Bytes(CONTENT.into())), Ok(Piece::End(hashing.finish()))];
        let request = Request::put(self.object(key, &[]));
        self.send_live(action, request, CONTENT.len() as u64, stream::iter(pieces).boxed()).await.map(|_| ())
    }

    async fn refuses(&self, key: &str, wrong: Checksum) -> Result<bool, StoreError> {
        let wrong = |request| checksum::write(request, wrong);
        let answer = self.write(key, "try a write with a wrong checksum", wrong).await;
        answered(answer, |kind| matches!(kind, StoreErrorKind::Corrupt | StoreErrorKind::Rejected))
    }

    async fn keeps(&self, key: &str, checksum: Checksum) -> Result<bool, StoreError> {
        let attempt = || self.write(key, "try a checksum", |request| checksum::write(request, checksum));
        match self.options.retry.run(attempt).await {
            Err(error) if error.kind == StoreErrorKind::Rejected => return Ok(false),
            other => other?,
        }
        Ok(self.head(key).await?.checksum == Some(checksum.into()))
    }

    async fn write(&self, key: &str, action: &str, with: impl Fn(Builder) -> Builder) -> Result<(), StoreError> {
        let request = with(Request::put(self.object(key, &[])));
        self.ask(action, request, Some(Payload::of(CONTENT))).await.map(|_| ())
    }

    /// Not every key may ask, and not every store answers: neither is a failure of the probe.
    async fn versioning(&self) -> Option<bool> {
        let request = Request::get(self.bucket(&[("versioning", "")]));
        let answer = self.ask("ask for versioning", request, None).await.ok()?;
        Some(multipart::versioning(&answer.body).ok()?.as_deref() == Some("Enabled"))
    }
}
