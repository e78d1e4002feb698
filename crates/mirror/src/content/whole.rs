//! The digests of a content so far: pure.

use serde::{Deserialize, Serialize};

use super::digests::{Digests, Wanted};
use super::join::Crc;
use super::truncated;
use crate::Sha256;

/// The digests of all parts so far. They can be kept and taken up again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Whole {
    pub(crate) size: u64,
    pub(crate) crc64nvme: u64,
    pub(super) crc32c: Option<u32>,
    pub(super) crc32: Option<u32>,
    #[serde(with = "midstate")]
    pub(super) sha256: Option<sha2::Sha256>,
}
impl Whole {
    pub(crate) fn of_nothing(wanted: Wanted) -> Self {
        Self {
            size: 0,
            crc64nvme: 0,
            crc32c: wanted.crc32c.then_some(0),
            crc32: wanted.crc32.then_some(0),
            sha256: None,
        }
    }

    /// With the CRCs of what follows. A SHA-256 cannot be joined.
    pub(super) fn followed_by(&self, size: u64, next: &Digests) -> Self {
        let join_32 = |one: Option<u32>, other: Option<u32>, crc: Crc| {
            Some(truncated(crc.join(u64::from(one?), u64::from(other?), size)))
        };
        Self {
            size: self.size + size,
            crc64nvme: Crc::NVME_64.join(self.crc64nvme, next.crc64nvme.unwrap_or_default(), size),
            crc32c: join_32(self.crc32c, next.crc32c, Crc::ISCSI_32),
            crc32: join_32(self.crc32, next.crc32, Crc::ISO_HDLC_32),
            sha256: None,
        }
    }

    /// With a part of which its store has told the CRC-64/NVME.
    pub(crate) fn followed_by_told(&self, size: u64, crc64nvme: u64) -> Self {
        self.followed_by(size, &Digests::told(crc64nvme))
    }

    pub(crate) fn digests(&self) -> Digests {
        let Self { crc64nvme, crc32c, crc32, sha256, .. } = self;
        let sha256 = sha256.clone().map(Sha256::finish);
        Digests { sha256, crc64nvme: Some(*crc64nvme), crc32c: *crc32c, crc32: *crc32 }
    }
}

/// A SHA-256 that is under way, as text.
mod midstate {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};

    #[allow(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(hasher: &Option<sha2::Sha256>, serializer: S) -> Result<S::Ok, S::Error> {
        hasher.as_ref().map(|hasher| hex::encode(hasher.serialize())).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<sha2::Sha256>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let mut state = SerializedState::<sha2::Sha256>::default();
        hex::decode_to_slice(text, &mut state).map_err(D::Error::custom)?;
        let hasher = sha2::Sha256::deserialize(&state).map_err(|_| D::Error::custom("not a state of SHA-256"))?;
        Ok(Some(hasher))
    }
}
