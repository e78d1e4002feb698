use http::Request;
use http::request::Builder;

use super::{S3Store, checksum, multipart};
use crate::content::{crc32c, crc64nvme};
use crate::probe::{CONTENT, answered, probe_key};
use crate::{
    Attributes, Capabilities, Checksum, ChecksumAlgorithm, ObjectStore as _, Payload, RESERVED_PREFIX, Sha256,
    StoreError, StoreErrorKind,
};

impl S3Store {
    pub(super) async fn capabilities(&self) -> Result<Capabilities, StoreError> {
        self.list_page(RESERVED_PREFIX, None).await?;
        let mut found = Capabilities { versioning: self.versioning().await, ..Capabilities::default() };
        let key = probe_key();
        match self.put(&key, &Attributes::default(), Payload::of(CONTENT)).await {
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
        if self.head(key).await?.checksum.is_some() && self.refuses_wrong_checksum(key).await? {
            found.checksums.push(ChecksumAlgorithm::Sha256);
        }
        found.conditional_writes = self.refuses_overwrite(key).await?;
        let (crc32c, crc64) = (Checksum::Crc32c(crc32c([CONTENT])), Checksum::Crc64Nvme(crc64nvme(CONTENT)));
        for (algorithm, checksum) in [(ChecksumAlgorithm::Crc32c, crc32c), (ChecksumAlgorithm::Crc64Nvme, crc64)] {
            if self.keeps(key, checksum).await? {
                found.checksums.push(algorithm);
            }
        }
        Ok(())
    }

    async fn refuses_overwrite(&self, key: &str) -> Result<bool, StoreError> {
        let attempt = || self.write(key, "try a conditional write", |request| request.header("if-none-match", "*"));
        answered(self.options.retry.run(attempt).await, |kind| *kind == StoreErrorKind::Changed)
    }

    async fn refuses_wrong_checksum(&self, key: &str) -> Result<bool, StoreError> {
        let wrong = |request| checksum::write(request, Checksum::Sha256(Sha256::of(b"something else")));
        let answer = self.write(key, "try a write with a wrong checksum", wrong).await;
        answered(answer, |kind| matches!(kind, StoreErrorKind::Corrupt | StoreErrorKind::Rejected))
    }

    /// Whether the store takes a checksum with an object and tells it afterwards.
    pub(super) async fn keeps(&self, key: &str, checksum: Checksum) -> Result<bool, StoreError> {
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
