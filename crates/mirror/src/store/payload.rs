use bytes::Bytes;

use crate::content::{crc32c, crc64nvme};
use crate::store::http::Chunks;
use crate::{Checksum, ChecksumAlgorithm, Sha256};

/// What is written in one request: bytes, in pieces as they came, and the checksum that is sent with them.
#[derive(Debug, Clone)]
pub struct Payload {
    chunks: Chunks,
    checksum: Checksum,
}

impl Payload {
    /// Bytes that are at hand, with their SHA-256.
    #[must_use]
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        Self::checked_by(bytes, ChecksumAlgorithm::Sha256)
    }

    /// Bytes that are at hand, with the checksum that a store wants.
    #[must_use]
    pub fn checked_by(bytes: impl Into<Bytes>, algorithm: ChecksumAlgorithm) -> Self {
        let bytes = bytes.into();
        let checksum = match algorithm {
            ChecksumAlgorithm::Sha256 => Checksum::Sha256(Sha256::of(&bytes)),
            ChecksumAlgorithm::Crc64Nvme => Checksum::Crc64Nvme(crc64nvme([&bytes])),
            ChecksumAlgorithm::Crc32c => Checksum::Crc32c(crc32c([&bytes])),
        };
        Self::new(bytes, checksum)
    }

    /// Bytes whose checksum was computed as they came.
    pub(crate) fn new(chunks: impl Into<Chunks>, checksum: Checksum) -> Self {
        Self { chunks: chunks.into(), checksum }
    }

    /// Bytes with their CRC-64/NVME.
    pub(crate) fn summed(chunks: Chunks) -> Self {
        let checksum = Checksum::Crc64Nvme(crc64nvme(chunks.iter()));
        Self { chunks, checksum }
    }

    /// How many bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.chunks.len()
    }

    /// The checksum that is sent with them.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        self.checksum
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.chunks.iter()
    }

    pub(crate) fn into_chunks(self) -> Chunks {
        self.chunks
    }

    /// The same bytes with their SHA-256.
    pub(crate) fn with_sha256(self) -> Self {
        let mut hasher = <sha2::Sha256 as sha2::Digest>::new();
        self.pieces().for_each(|piece| sha2::Digest::update(&mut hasher, piece));
        Self { checksum: Checksum::Sha256(Sha256::finish(hasher)), ..self }
    }
}
