//! Which parts of an upload are done: pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::content::{Wanted, Whole};
use crate::{Checksum, UploadedPart};

/// A part that is done, and the digests of all up to it, where they were computed.
type Done = (UploadedPart, Option<Arc<Whole>>);

/// The parts that a store has taken, in whatever order.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// From the first on, with none left out.
    prefix: Vec<UploadedPart>,
    /// The digests of those.
    whole: Option<Arc<Whole>>,
    /// The digests of all of those but the last.
    before: Option<Arc<Whole>>,
    /// Those after a gap, by number.
    others: BTreeMap<usize, Done>,
    /// Bytes of the prefix, and how many of them were noted.
    bytes: u64,
    noted: u64,
}

impl Ledger {
    /// With parts that an earlier pass has brought.
    pub(crate) fn new(prefix: Vec<UploadedPart>) -> Self {
        let bytes = prefix.iter().map(|part| part.size).sum();
        Self { prefix, whole: None, before: None, others: BTreeMap::new(), bytes, noted: bytes }
    }

    /// Part `number` (from 1) is done.
    pub(crate) fn add(&mut self, number: usize, part: UploadedPart, whole: Option<Arc<Whole>>) {
        self.others.insert(number, (part, whole));
        while let Some((part, whole)) = self.others.remove(&(self.prefix.len() + 1)) {
            self.bytes += part.size;
            let whole = whole.or_else(|| self.followed_by(&part).map(Arc::new));
            self.before = std::mem::replace(&mut self.whole, whole);
            self.prefix.push(part);
        }
    }

    /// The digests of all with a part whose store has told its checksum.
    fn followed_by(&self, part: &UploadedPart) -> Option<Whole> {
        let Checksum::Crc64Nvme(told) = part.checksum else { return None };
        let nothing = || self.prefix.is_empty().then(|| Whole::of_nothing(Wanted::default()));
        let whole = self.whole.as_deref().cloned().or_else(nothing)?;
        Some(whole.followed_by_told(part.size, told))
    }

    /// What to note once at least so many bytes are new: never so often that the notes, of some 100 bytes a part, weigh.
    pub(crate) fn due(&mut self, every: u64) -> Option<(Vec<UploadedPart>, Arc<Whole>)> {
        const FOR_EACH_PART: u64 = 64 * 1024;
        if self.bytes - self.noted < every.max(self.prefix.len() as u64 * FOR_EACH_PART) {
            return None;
        }
        self.noted = self.bytes;
        Some((self.prefix.clone(), self.whole.clone()?))
    }

    /// Bytes of the parts from the first on, with none left out.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What to note of an object of so many bytes where it is not gone on with now, if parts have come since the ledger was begun: never
    /// all of it, since whoever goes on has to read a part.
    pub(crate) fn so_far(&self, size: u64) -> Option<(Vec<UploadedPart>, Arc<Whole>)> {
        let (all, whole) =
            if self.bytes < size { (&*self.prefix, &self.whole) } else { (self.prefix.split_last()?.1, &self.before) };
        Some((all.to_vec(), whole.clone()?))
    }

    /// The parts, when none of so many is missing, and the digests of all.
    pub(crate) fn finish(&self, count: usize) -> Option<(Vec<UploadedPart>, Arc<Whole>)> {
        (self.prefix.len() == count).then(|| self.prefix.clone()).zip(self.whole.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::Ledger;
    use crate::content::{Hashing, Wanted, Whole};
    use crate::{Checksum, ChecksumAlgorithm, Payload, UploadedPart};

    fn part(number: usize) -> UploadedPart {
        UploadedPart { etag: number.to_string(), size: 10, checksum: Checksum::Crc32(0) }
    }

    fn whole(number: usize) -> Arc<Whole> {
        let mut hashing = Hashing::new(2, Wanted::default());
        hashing.update(&vec![0; number * 10]);
        hashing.end_part();
        Arc::new(hashing.so_far())
    }

    #[test]
    fn only_what_has_no_gap_is_noted_and_only_now_and_then() {
        let mut ledger = Ledger::new(vec![part(1)]);
        ledger.add(3, part(3), Some(whole(3)));
        assert!(ledger.due(1).is_none(), "the second is missing");
        ledger.add(2, part(2), Some(whole(2)));
        assert!(ledger.due(2_000_000).is_none());
        let mut often = Ledger::new(vec![UploadedPart { size: 0, ..part(1) }]);
        often.add(2, UploadedPart { size: 1_000_000, ..part(2) }, Some(whole(2)));
        assert_eq!(often.due(1).map(|(parts, _)| parts.len()), Some(2));
        assert!(often.due(1).is_none(), "it was noted");
        let (parts, whole) = ledger.finish(3).unwrap();
        assert_eq!((parts, whole.size), (vec![part(1), part(2), part(3)], 30));
    }

    #[test]
    fn what_stores_tell_of_parts_makes_that_of_the_whole() {
        let contents: [&[u8]; 3] = [b"some", b"", b"thing"];
        let of = |content: &[u8]| Payload::checked_by(content.to_vec(), ChecksumAlgorithm::Crc64Nvme).checksum();
        let mut ledger = Ledger::new(Vec::new());
        for number in [2, 3, 1] {
            let content = contents[number - 1];
            let part = UploadedPart { size: content.len() as u64, checksum: of(content), ..part(number) };
            ledger.add(number, part, None);
        }
        let (_, whole) = ledger.finish(3).unwrap();
        assert_eq!(Checksum::Crc64Nvme(whole.crc64nvme), of(b"something"));
    }

    proptest! {
        #[test]
        fn any_order_gives_all_parts_in_order(order in Just((1..=8_usize).collect::<Vec<_>>()).prop_shuffle(), first in 0..4_usize) {
            let mut ledger = Ledger::new((1..=first).map(part).collect());
            for number in order.into_iter().filter(|number| *number > first) {
                ledger.add(number, part(number), Some(whole(number)));
                if let Some(whole) = &ledger.whole {
                    prop_assert_eq!(whole.size, ledger.bytes, "the digests are those of the prefix");
                }
                if let Some((parts, whole)) = ledger.so_far(80) {
                    prop_assert_eq!(whole.size, parts.iter().map(|part| part.size).sum::<u64>());
                    prop_assert_eq!(parts.len(), ledger.prefix.len().min(7), "a part is left to be read");
                }
            }
            prop_assert_eq!(ledger.finish(8).unwrap().0, (1..=8).map(part).collect::<Vec<_>>());
        }
    }
}
