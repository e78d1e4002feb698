use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, ChecksumAlgorithm as SdkAlgorithm, ChecksumMode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::S3Store;
use crate::probe::{CONTENT, answered, probe_key};
use crate::{
    Attributes, Capabilities, ChecksumAlgorithm, ObjectStore as _, RESERVED_PREFIX, Sha256, StoreError, StoreErrorKind,
};

impl S3Store {
    pub(super) async fn capabilities(&self) -> Result<Capabilities, StoreError> {
        self.list_page(RESERVED_PREFIX, None).await?;
        let mut found = Capabilities { versioning: self.versioning().await, ..Capabilities::default() };
        let key = probe_key();
        match self.put(&key, &Attributes::default(), CONTENT.into(), Sha256::of(CONTENT)).await {
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
        for (sdk, algorithm) in
            [(SdkAlgorithm::Crc32C, ChecksumAlgorithm::Crc32c), (SdkAlgorithm::Crc64Nvme, ChecksumAlgorithm::Crc64Nvme)]
        {
            if self.keeps_checksum(key, sdk).await? {
                found.checksums.push(algorithm);
            }
        }
        Ok(())
    }

    async fn refuses_overwrite(&self, key: &str) -> Result<bool, StoreError> {
        let attempt = || async {
            let request = self.client.put_object().bucket(&self.location.bucket).key(self.key(key));
            let answer = request.if_none_match("*").body(ByteStream::from_static(CONTENT)).send().await;
            answer.map(|_| ()).map_err(self.failed("try a conditional write"))
        };
        answered(self.options.retry.run(attempt).await, |kind| *kind == StoreErrorKind::Changed)
    }

    async fn refuses_wrong_checksum(&self, key: &str) -> Result<bool, StoreError> {
        let wrong = BASE64.encode(Sha256::of(b"something else").as_bytes());
        let request = self.client.put_object().bucket(&self.location.bucket).key(self.key(key));
        let answer = request.checksum_sha256(wrong).body(ByteStream::from_static(CONTENT)).send().await;
        let answer = answer.map(|_| ()).map_err(self.failed("try a write with a wrong checksum"));
        answered(answer, |kind| matches!(kind, StoreErrorKind::Corrupt | StoreErrorKind::Rejected))
    }

    async fn keeps_checksum(&self, key: &str, algorithm: SdkAlgorithm) -> Result<bool, StoreError> {
        let attempt = || async {
            let request = self.client.put_object().bucket(&self.location.bucket).key(self.key(key));
            let request = request.checksum_algorithm(algorithm.clone()).body(ByteStream::from_static(CONTENT));
            request.send().await.map_err(self.failed(format!("try a {algorithm} checksum")))?;
            let request = self.client.head_object().bucket(&self.location.bucket).key(self.key(key));
            let head = request.checksum_mode(ChecksumMode::Enabled).send().await;
            let head = head.map_err(self.failed(format!("look for a {algorithm} checksum")))?;
            Ok(head.checksum_crc32_c.is_some() || head.checksum_crc64_nvme.is_some())
        };
        match self.options.retry.run(attempt).await {
            Err(error) if error.kind == StoreErrorKind::Rejected => Ok(false),
            other => other,
        }
    }

    /// Not every key may ask, and not every store answers: neither is a failure of the probe.
    async fn versioning(&self) -> Option<bool> {
        let answer = self.client.get_bucket_versioning().bucket(&self.location.bucket).send().await;
        answer.ok().map(|answer| answer.status == Some(BucketVersioningStatus::Enabled))
    }
}
