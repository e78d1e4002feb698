//! What is computed of a content while it passes: pure.

use crc_fast::CrcAlgorithm;
use sha2::Digest as _;

use crate::{Sha256, StoredChecksum};

/// Which checksums are computed beside SHA-256.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) crc32c: bool,
    pub(crate) crc64nvme: bool,
}

impl Wanted {
    /// What it takes to compare a content with this checksum.
    pub(crate) fn by(mut self, checksum: Option<StoredChecksum>) -> Self {
        match checksum {
            Some(StoredChecksum::Crc32c(_)) => self.crc32c = true,
            Some(StoredChecksum::Crc64Nvme(_)) => self.crc64nvme = true,
            Some(StoredChecksum::Whole(_) | StoredChecksum::Composite { .. }) | None => {}
        }
        self
    }
}

/// The digests of a whole content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) sha256: Sha256,
    /// Those of the parts in which it was written; empty when not known.
    pub(crate) parts: Vec<Sha256>,
    crc32c: Option<u32>,
    crc64nvme: Option<u64>,
}

impl Digests {
    /// Of a content of which nothing else is known.
    pub(crate) fn of(sha256: Sha256) -> Self {
        Self { sha256, parts: Vec::new(), crc32c: None, crc64nvme: None }
    }

    /// Whether a store's checksum is this content's; `None` when what is known of both cannot be compared.
    pub(crate) fn agree_with(&self, stored: StoredChecksum) -> Option<bool> {
        match stored {
            StoredChecksum::Whole(sha256) => Some(sha256 == self.sha256),
            StoredChecksum::Crc32c(crc) => self.crc32c.map(|own| own == crc),
            StoredChecksum::Crc64Nvme(crc) => self.crc64nvme.map(|own| own == crc),
            StoredChecksum::Composite { sha256, parts } => {
                (parts as usize == self.parts.len()).then(|| sha256 == composite(&self.parts))
            }
        }
    }
}

/// What S3 keeps for a multipart upload: the digest of the parts' digests, one after another.
fn composite(parts: &[Sha256]) -> Sha256 {
    let mut hasher = sha2::Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
    }
    Sha256::finish(hasher)
}

/// Computes the digests of a content that comes part by part.
pub(crate) struct Hashing {
    part: sha2::Sha256,
    /// Only where there are several parts: that of a single one is that of the whole.
    whole: Option<sha2::Sha256>,
    parts: Vec<Sha256>,
    crc32c: Option<crc_fast::Digest>,
    crc64nvme: Option<crc_fast::Digest>,
}

impl Hashing {
    pub(crate) fn new(parts: usize, wanted: Wanted) -> Self {
        let crc = |wanted: bool, algorithm| wanted.then(|| crc_fast::Digest::new(algorithm));
        Self {
            part: sha2::Sha256::new(),
            whole: (parts > 1).then(sha2::Sha256::new),
            parts: Vec::with_capacity(parts),
            crc32c: crc(wanted.crc32c, CrcAlgorithm::Crc32Iscsi),
            crc64nvme: crc(wanted.crc64nvme, CrcAlgorithm::Crc64Nvme),
        }
    }

    pub(crate) fn update(&mut self, chunk: &[u8]) {
        self.part.update(chunk);
        if let Some(whole) = &mut self.whole {
            whole.update(chunk);
        }
        for crc in [&mut self.crc32c, &mut self.crc64nvme].into_iter().flatten() {
            crc.update(chunk);
        }
    }

    /// Ends a part; gives its digest.
    pub(crate) fn end_part(&mut self) -> Sha256 {
        let sha256 = Sha256::finish(std::mem::take(&mut self.part));
        self.parts.push(sha256);
        sha256
    }

    /// The digests of all parts that were ended.
    pub(crate) fn finish(self) -> Digests {
        let sha256 = match (self.whole, &self.parts[..]) {
            (None, [single]) => *single,
            (whole, _) => Sha256::finish(whole.unwrap_or_default()),
        };
        // The digest of a 32-bit checksum is in the lower half.
        #[allow(clippy::cast_possible_truncation, reason = "the upper half is zero")]
        let crc32c = self.crc32c.map(|crc| crc.finalize() as u32);
        Digests { sha256, parts: self.parts, crc32c, crc64nvme: self.crc64nvme.map(|crc| crc.finalize()) }
    }
}

/// The CRC-32C (Castagnoli) of a content.
#[allow(clippy::cast_possible_truncation, reason = "the upper half is zero")]
pub(crate) fn crc32c(content: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, content) as u32
}

/// The CRC-64/NVME of a content.
pub(crate) fn crc64nvme(content: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, content)
}

#[cfg(test)]
mod tests {
    use super::{Digests, Hashing, Wanted, composite, crc32c, crc64nvme};
    use crate::{Sha256, StoredChecksum};

    fn digests(parts: &[&[u8]], wanted: Wanted) -> Digests {
        let mut hashing = Hashing::new(parts.len(), wanted);
        for part in parts {
            hashing.update(part);
            hashing.end_part();
        }
        hashing.finish()
    }

    #[test]
    fn the_checksums_have_their_check_values() {
        let all = Wanted { crc32c: true, crc64nvme: true };
        for parts in [vec![&b"123456789"[..]], vec![b"1234", b"5", b"6789"]] {
            let digests = digests(&parts, all);
            assert_eq!(digests.sha256, Sha256::of(b"123456789"));
            for (stored, agrees) in [
                (StoredChecksum::Crc32c(0xE306_9283), true),
                (StoredChecksum::Crc32c(0xE306_9284), false),
                (StoredChecksum::Crc64Nvme(0xAE8B_1486_0A79_9888), true),
                (StoredChecksum::Whole(Sha256::of(b"123456789")), true),
                (StoredChecksum::Whole(Sha256::of(b"")), false),
            ] {
                assert_eq!(digests.agree_with(stored), Some(agrees), "{stored:?}");
            }
        }
        assert_eq!((crc32c(b"123456789"), crc64nvme(b"123456789")), (0xE306_9283, 0xAE8B_1486_0A79_9888));
    }

    #[test]
    fn a_composite_is_compared_over_the_same_parts_only() {
        let digests = digests(&[b"a", b"b"], Wanted::default());
        let sha256 = composite(&[Sha256::of(b"a"), Sha256::of(b"b")]);
        let stored = |sha256, parts| digests.agree_with(StoredChecksum::Composite { sha256, parts });
        assert_eq!(stored(sha256, 2), Some(true));
        assert_eq!(stored(Sha256::of(b"ab"), 2), Some(false));
        assert_eq!(stored(sha256, 3), None);
        assert_eq!(digests.agree_with(StoredChecksum::Crc32c(0)), None);
        assert_eq!(Digests::of(sha256).agree_with(StoredChecksum::Composite { sha256, parts: 1 }), None);
    }
}
