//! The checksums of a content: which are wanted, and what they came to.

use crc_fast::CrcAlgorithm;
use sha2::Digest as _;

use crate::{Checksum, ChecksumAlgorithm, Sha256};

/// Which checksums are computed beside CRC-64/NVME, which costs next to nothing.
#[allow(clippy::struct_excessive_bools, reason = "it is a set")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Of the whole.
    pub(crate) sha256: bool,
    /// Of each part in which it is written.
    pub(crate) part_sha256: bool,
    pub(crate) crc32c: bool,
    pub(crate) crc32: bool,
}

impl Wanted {
    /// What it takes to compare a content with this checksum, too.
    pub(crate) fn to_compare_with(mut self, checksum: Option<Checksum>) -> Self {
        match checksum {
            Some(Checksum::Sha256(_)) => self.sha256 = true,
            Some(Checksum::Crc32c(_)) => self.crc32c = true,
            Some(Checksum::Crc32(_)) => self.crc32 = true,
            Some(Checksum::Crc64Nvme(_)) | None => {}
        }
        self
    }

    /// What it takes to send this checksum with each part, too.
    pub(crate) fn to_send(mut self, algorithm: ChecksumAlgorithm) -> Self {
        match algorithm {
            ChecksumAlgorithm::Sha256 => self.part_sha256 = true,
            ChecksumAlgorithm::Crc32c => self.crc32c = true,
            ChecksumAlgorithm::Crc64Nvme => {}
        }
        self
    }
}

/// The digests of a content, or of a part of it, as far as they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) sha256: Option<Sha256>,
    pub(super) crc64nvme: Option<u64>,
    pub(super) crc32c: Option<u32>,
    pub(super) crc32: Option<u32>,
}

impl Digests {
    /// Of a content of which nothing else is known.
    pub(crate) fn of(sha256: Sha256) -> Self {
        Self { sha256: Some(sha256), ..Self::default() }
    }

    /// Of a content whose store tells this of it.
    pub(crate) fn told(crc64nvme: u64) -> Self {
        Self { crc64nvme: Some(crc64nvme), ..Self::default() }
    }

    /// The checksum that is sent to a store which wants this one: where it is not known, that which always is.
    pub(crate) fn checksum(&self, algorithm: ChecksumAlgorithm) -> Option<Checksum> {
        let crc64nvme = self.crc64nvme.map(Checksum::Crc64Nvme);
        match algorithm {
            ChecksumAlgorithm::Sha256 => self.sha256.map(Checksum::Sha256).or(crc64nvme),
            ChecksumAlgorithm::Crc32c => self.crc32c.map(Checksum::Crc32c).or(crc64nvme),
            ChecksumAlgorithm::Crc64Nvme => crc64nvme,
        }
    }

    /// The checksum by which two contents are best compared.
    pub(crate) fn strongest(&self) -> Option<Checksum> {
        self.checksum(ChecksumAlgorithm::Sha256)
    }

    /// Whether a checksum is this content's; `None` when that one is not known.
    pub(crate) fn agree_with(&self, checksum: Checksum) -> Option<bool> {
        match checksum {
            Checksum::Sha256(sha256) => self.sha256.map(|own| own == sha256),
            Checksum::Crc64Nvme(crc) => self.crc64nvme.map(|own| own == crc),
            Checksum::Crc32c(crc) => self.crc32c.map(|own| own == crc),
            Checksum::Crc32(crc) => self.crc32.map(|own| own == crc),
        }
    }
}

/// What S3 keeps for a multipart upload: the digest of the parts' digests, one after another. `None` when one is not known.
pub(crate) fn composite(parts: impl IntoIterator<Item = Checksum>) -> Option<Sha256> {
    let mut hasher = sha2::Sha256::new();
    for part in parts {
        let Checksum::Sha256(sha256) = part else { return None };
        hasher.update(sha256.as_bytes());
    }
    Some(Sha256::finish(hasher))
}
/// The CRC-32C (Castagnoli) of a content in pieces.
pub(crate) fn crc32c<T: AsRef<[u8]>>(pieces: impl IntoIterator<Item = T>) -> u32 {
    let mut crc = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
    pieces.into_iter().for_each(|piece| crc.update(piece.as_ref()));
    super::truncated(crc.finalize())
}

/// The CRC-64/NVME of a content in pieces.
pub(crate) fn crc64nvme<T: AsRef<[u8]>>(pieces: impl IntoIterator<Item = T>) -> u64 {
    let mut crc = crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme);
    pieces.into_iter().for_each(|piece| crc.update(piece.as_ref()));
    crc.finalize()
}
