//! What is computed of a content while it passes: pure.

use crc_fast::CrcAlgorithm;
use sha2::Digest as _;

use super::digests::{Digests, Wanted};
use super::truncated;
use super::whole::Whole;
use crate::Sha256;

/// Computes the digests of a content that comes part by part: those of each part, and those of the whole. Each byte is seen once
/// by each checksum: the CRCs of parts are joined.
pub(crate) struct Hashing {
    wanted: Wanted,
    /// The SHA-256 of a single part is that of the whole.
    is_single: bool,
    part: Running,
    /// The digests of all parts that have ended, but for their SHA-256.
    before: Whole,
    /// Of all that was seen.
    sha256: Option<sha2::Sha256>,
}

/// Digests of a part under way.
#[derive(Clone)]
struct Running {
    size: u64,
    sha256: Option<sha2::Sha256>,
    crc64nvme: crc_fast::Digest,
    crc32c: Option<crc_fast::Digest>,
    crc32: Option<crc_fast::Digest>,
}
impl Running {
    fn new(wanted: Wanted, sha256: bool) -> Self {
        let crc = |wanted: bool, algorithm| wanted.then(|| crc_fast::Digest::new(algorithm));
        Self {
            size: 0,
            sha256: sha256.then(sha2::Sha256::new),
            crc64nvme: crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme),
            crc32c: crc(wanted.crc32c, CrcAlgorithm::Crc32Iscsi),
            crc32: crc(wanted.crc32, CrcAlgorithm::Crc32IsoHdlc),
        }
    }

    fn update(&mut self, chunk: &[u8]) {
        self.size += chunk.len() as u64;
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(chunk);
        }
        self.crc64nvme.update(chunk);
        for crc in [&mut self.crc32c, &mut self.crc32].into_iter().flatten() {
            crc.update(chunk);
        }
    }

    fn finish(self) -> Digests {
        Digests {
            sha256: self.sha256.map(Sha256::finish),
            crc64nvme: Some(self.crc64nvme.finalize()),
            crc32c: self.crc32c.as_ref().map(lower_half),
            crc32: self.crc32.as_ref().map(lower_half),
        }
    }
}

impl Hashing {
    /// Of a content of so many parts.
    pub(crate) fn new(parts: usize, wanted: Wanted) -> Self {
        let is_single = parts == 1;
        let sha256 = wanted.sha256 || (is_single && wanted.part_sha256);
        let part_sha256 = wanted.part_sha256 && !is_single;
        Self {
            wanted: Wanted { part_sha256, ..wanted },
            is_single,
            part: Running::new(wanted, part_sha256),
            before: Whole::of_nothing(wanted),
            sha256: sha256.then(sha2::Sha256::new),
        }
    }

    /// Goes on after parts that were seen before. `None` when not all that is wanted was computed then.
    pub(crate) fn resume(before: Whole, wanted: Wanted) -> Option<Self> {
        let has_all = before.sha256.is_some() >= wanted.sha256
            && before.crc32c.is_some() >= wanted.crc32c
            && before.crc32.is_some() >= wanted.crc32;
        let sha256 = before.sha256.clone();
        let part = Running::new(wanted, wanted.part_sha256);
        has_all.then_some(Self { wanted, is_single: false, part, before, sha256 })
    }

    pub(crate) fn update(&mut self, chunk: &[u8]) {
        self.part.update(chunk);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(chunk);
        }
    }

    /// Ends a part; gives its digests.
    pub(crate) fn end_part(&mut self) -> Digests {
        let next = Running::new(self.wanted, self.wanted.part_sha256);
        let part = std::mem::replace(&mut self.part, next);
        let size = part.size;
        let digests = part.finish();
        self.before = self.before.followed_by(size, &digests);
        if self.is_single { Digests { sha256: self.sha256.clone().map(Sha256::finish), ..digests } } else { digests }
    }

    /// The digests of all so far, to go on by.
    pub(crate) fn so_far(&self) -> Whole {
        let whole = self.before.followed_by(self.part.size, &self.part.clone().finish());
        Whole { sha256: self.sha256.clone(), ..whole }
    }

    /// The digests of all.
    pub(crate) fn finish(self) -> Digests {
        self.so_far().digests()
    }
}
fn lower_half(crc: &crc_fast::Digest) -> u32 {
    truncated(crc.finalize())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::digests::{composite, crc32c, crc64nvme};
    use super::{Digests, Hashing, Wanted, Whole};
    use crate::{Checksum, ChecksumAlgorithm, Sha256};

    const ALL: Wanted = Wanted { sha256: true, part_sha256: true, crc32c: true, crc32: true };

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
        for parts in [vec![&b"123456789"[..]], vec![b"1234", b"5", b"6789"], vec![b"", b"123456789"]] {
            let digests = digests(&parts, ALL);
            assert_eq!(digests.sha256, Some(Sha256::of(b"123456789")));
            for (checksum, agrees) in [
                (Checksum::Crc32(0xCBF4_3926), true),
                (Checksum::Crc32c(0xE306_9283), true),
                (Checksum::Crc32c(0xE306_9284), false),
                (Checksum::Crc64Nvme(0xAE8B_1486_0A79_9888), true),
                (Checksum::Sha256(Sha256::of(b"123456789")), true),
                (Checksum::Sha256(Sha256::of(b"")), false),
            ] {
                assert_eq!(digests.agree_with(checksum), Some(agrees), "{checksum:?}");
            }
        }
        assert_eq!((crc32c([b"123", b"456", b"789"]), crc64nvme([b"123456789"])), (0xE306_9283, 0xAE8B_1486_0A79_9888));
    }

    #[test]
    fn what_was_not_wanted_is_not_known() {
        let digests = digests(&[b"a", b"b"], Wanted::default());
        assert_eq!(digests.agree_with(Checksum::Crc32c(0)), None);
        assert_eq!(digests.sha256, None);
        assert_eq!(digests.strongest(), Some(Checksum::Crc64Nvme(crc64nvme([b"ab"]))));
        assert_eq!(digests.checksum(ChecksumAlgorithm::Crc32c), digests.strongest());
    }

    #[test]
    fn a_composite_is_that_of_the_parts_digests() {
        let [a, b] = [b"a", b"b"].map(|part| Sha256::of(part));
        let both = [a.as_bytes().as_slice(), b.as_bytes()].concat();
        assert_eq!(composite([a, b].map(Checksum::Sha256)), Some(Sha256::of(&both)));
        assert_eq!(composite([Checksum::Sha256(a), Checksum::Crc32c(1)]), None);
    }

    proptest! {
        #[test]
        fn parts_do_not_change_the_whole_and_neither_does_a_break(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6),
            stop in any::<prop::sample::Index>(),
        ) {
            let whole = parts.concat();
            let mut hashing = Hashing::new(2, ALL);
            for (index, part) in parts.iter().enumerate() {
                if index == stop.index(parts.len()) {
                    let kept = serde_json::to_string(&hashing.so_far()).unwrap();
                    hashing = Hashing::resume(serde_json::from_str::<Whole>(&kept).unwrap(), ALL).unwrap();
                }
                hashing.update(part);
                let of_part = hashing.end_part();
                prop_assert_eq!(of_part.sha256, Some(Sha256::of(part)));
                prop_assert_eq!(of_part.agree_with(Checksum::Crc64Nvme(crc64nvme([part]))), Some(true));
            }
            prop_assert_eq!(hashing.so_far().size, whole.len() as u64);
            prop_assert_eq!(hashing.finish(), digests(&[&whole], ALL));
        }
    }
}
