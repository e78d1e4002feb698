use serde::{Deserialize, Serialize};

use crate::ChecksumAlgorithm;

/// By what a store shows that it holds the content it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By a checksum of this kind, which it checked on writing and tells afterwards.
    Told(ChecksumAlgorithm),
    /// By refusing each request whose content does not fit the checksum sent with it; afterwards it tells none.
    Transit,
}

impl Proof {
    /// The checksum to send with a content.
    #[must_use]
    pub fn algorithm(self) -> ChecksumAlgorithm {
        match self {
            Self::Told(algorithm) => algorithm,
            Self::Transit => ChecksumAlgorithm::Crc64Nvme,
        }
    }
}

/// What a bucket can do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// An object could be written and removed.
    pub writable: bool,
    /// `If-None-Match: *` protects an existing object.
    pub conditional_writes: bool,
    /// The checksums that the store checks on writing and tells afterwards.
    pub checksums: Vec<ChecksumAlgorithm>,
    /// Overwritten objects are kept as versions. `None` when the credentials may not ask.
    pub versioning: Option<bool>,
}
