//! Whether the digests of a content are computed while it passes, or told by its stores: pure.

use super::digests::Digests;
use super::hashing::Hashing;
use super::whole::Whole;

/// How the digests of a content come to be known.
pub(crate) enum Digesting {
    /// They are computed while it passes.
    Computed(Box<Hashing>),
    /// The source's store tells the CRC-64/NVME of the whole, and each target's computes that of every part it gets: that the
    /// target's make the source's proves the copy from end to end, and nothing is to be computed in between.
    Told(u64),
}

impl Digesting {
    pub(crate) fn update(&mut self, chunk: &[u8]) {
        if let Self::Computed(hashing) = self {
            hashing.update(chunk);
        }
    }

    /// Ends a part; gives its digests, and those of all up to it, as far as they are known.
    pub(crate) fn end_part(&mut self) -> (Digests, Option<Whole>) {
        match self {
            Self::Computed(hashing) => {
                let part = hashing.end_part();
                (part, Some(hashing.so_far()))
            }
            Self::Told(_) => (Digests::default(), None),
        }
    }

    /// The digests of all, after the last part.
    pub(crate) fn finish(&self) -> Digests {
        match self {
            Self::Computed(hashing) => hashing.so_far().digests(),
            Self::Told(crc64nvme) => Digests::told(*crc64nvme),
        }
    }
}
