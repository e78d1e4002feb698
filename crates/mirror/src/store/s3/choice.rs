//! Which checksum this store keeps: CRC-64/NVME costs next to nothing, so it is SHA-256 only where a store does not know that one.

use std::sync::atomic::Ordering;

use super::{S3Store, checksum};
use crate::store::http::Answer;
use crate::store::probe::probe_key;
use crate::{
    Attributes, Checksum, ChecksumAlgorithm, Condition, ObjectStore as _, Payload, StoreError, StoreErrorKind,
    StoredChecksum, Written,
};

impl S3Store {
    /// The checksum to send with a content. CRC-64/NVME as long as nothing is known of the store.
    pub(super) fn algorithm(&self) -> ChecksumAlgorithm {
        let is_refused = self.refuses_crc64nvme.load(Ordering::Relaxed);
        if is_refused || self.keeps_crc64nvme.get() == Some(&false) {
            ChecksumAlgorithm::Sha256
        } else {
            ChecksumAlgorithm::Crc64Nvme
        }
    }

    /// Takes notice of an answer that tells the checksum of what was written; others say nothing.
    pub(super) fn notice(&self, answer: &Answer) {
        if matches!(checksum::read(&answer.headers), Some(StoredChecksum::Whole(Checksum::Crc64Nvme(_)))) {
            self.keeps_it();
        }
    }

    /// The store says that it keeps CRC-64/NVME.
    pub(super) fn keeps_it(&self) {
        // Whoever is finding out just now finds the same.
        let _known = self.keeps_crc64nvme.set(true);
    }

    /// The store refuses CRC-64/NVME, whatever else is known of it.
    pub(super) fn refuses_it(&self) {
        self.refuses_crc64nvme.store(true, Ordering::Relaxed);
    }

    /// Whether the store checks CRC-64/NVME and tells it afterwards: tried, once, with a tiny object. Who may not write that gets
    /// SHA-256, which every store has known for longer.
    pub(super) async fn keeps_crc64nvme(&self) -> Result<bool, StoreError> {
        let attempt = || async {
            match self.try_crc64nvme().await {
                Err(error) if matches!(error.kind, StoreErrorKind::CredentialsRefused | StoreErrorKind::Rejected) => {
                    tracing::debug!(%error, "cannot try CRC-64/NVME: SHA-256 is used");
                    Ok(false)
                }
                other => other,
            }
        };
        self.keeps_crc64nvme.get_or_try_init(attempt).await.copied()
    }

    async fn try_crc64nvme(&self) -> Result<bool, StoreError> {
        let key = probe_key();
        let found = self.checks(&key, ChecksumAlgorithm::Crc64Nvme).await;
        let removal = self.delete(&key).await;
        let found = found?;
        removal.map(|()| found)
    }

    /// Whether the store checks CRC-64/NVME that follows a content: tried, once, with a tiny object. Where that cannot be found out,
    /// parts are sent as everywhere.
    pub(super) async fn takes_trailers(&self) -> bool {
        if self.algorithm() != ChecksumAlgorithm::Crc64Nvme {
            return false;
        }
        let attempt = || async {
            let key = probe_key();
            let found = self.checks_trailer(&key).await;
            let removal = self.delete(&key).await;
            found.and_then(|found| removal.map(|()| found))
        };
        match self.takes_trailers.get_or_try_init(attempt).await {
            Ok(takes) => *takes,
            Err(error) => {
                tracing::debug!(%error, "cannot try a checksum behind a content: parts are kept until they were taken");
                let _known = self.takes_trailers.set(false);
                false
            }
        }
    }

    /// Whether the store tells the CRC-64/NVME of a part that came without a checksum: tried, once, with a tiny upload. Where that
    /// cannot be found out, checksums are sent.
    pub(super) async fn tells_parts(&self) -> bool {
        if self.algorithm() != ChecksumAlgorithm::Crc64Nvme {
            return false;
        }
        match self.tells_parts.get_or_try_init(async || self.tells_part(&probe_key()).await).await {
            Ok(tells) => *tells,
            Err(error) => {
                tracing::debug!(%error, "cannot try a part without a checksum: checksums are computed");
                let _known = self.tells_parts.set(false);
                false
            }
        }
    }

    /// Writes a whole object with the checksum that the store knows.
    pub(super) async fn put_checked(
        &self,
        key: &str,
        attributes: &Attributes,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        match self.put_once(key, attributes, &payload, condition).await {
            Err(error) => match self.instead_of(&payload, &error).await? {
                Some(payload) => self.put_once(key, attributes, &payload, condition).await,
                None => Err(error),
            },
            Ok(written) => {
                if written.checksum.is_none() && matches!(payload.checksum(), Checksum::Crc64Nvme(_)) {
                    // So that the next ones need not be read back.
                    self.keeps_crc64nvme().await?;
                }
                Ok(written)
            }
        }
    }

    /// The payload to send instead when the store would not take one with its checksum, if another checksum may help.
    async fn instead_of(&self, refused: &Payload, error: &StoreError) -> Result<Option<Payload>, StoreError> {
        let may_help = error.kind == StoreErrorKind::Rejected && matches!(refused.checksum(), Checksum::Crc64Nvme(_));
        if !may_help || self.keeps_crc64nvme().await? {
            return Ok(None);
        }
        Ok(Some(refused.clone().with_sha256()))
    }
}
