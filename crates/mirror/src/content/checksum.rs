use serde::{Deserialize, Serialize};

use crate::Sha256;

/// A checksum of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checksum {
    /// Its SHA-256.
    #[serde(rename = "SHA256")]
    Sha256(Sha256),
    /// Its CRC-64/NVME.
    #[serde(rename = "CRC64NVME")]
    Crc64Nvme(u64),
    /// Its CRC-32C (Castagnoli).
    #[serde(rename = "CRC32C")]
    Crc32c(u32),
    /// Its CRC-32 (ISO-HDLC, that of Ethernet and gzip).
    #[serde(rename = "CRC32")]
    Crc32(u32),
}

/// A checksum a store may compute itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChecksumAlgorithm {
    /// SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
    /// CRC-32C (Castagnoli).
    #[serde(rename = "CRC32C")]
    Crc32c,
    /// CRC-64/NVME.
    #[serde(rename = "CRC64NVME")]
    Crc64Nvme,
}

/// A checksum that a store keeps for an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredChecksum {
    /// That of the whole content.
    Whole(Checksum),
    /// The SHA-256 of the digests of the parts, one after another: what S3 keeps for a multipart upload.
    Composite {
        /// The digest of the digests.
        sha256: Sha256,
        /// How many parts.
        parts: u32,
    },
}

impl From<Checksum> for StoredChecksum {
    fn from(checksum: Checksum) -> Self {
        Self::Whole(checksum)
    }
}
