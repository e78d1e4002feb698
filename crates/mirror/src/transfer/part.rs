//! How an object is cut into parts: pure.

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;
/// An object is cut into no more, as long as its parts are not too large for the store then: each is named in the note of how far
/// it has come.
const WANTED_PARTS: u64 = 10_000;
/// S3's least size of a part that is not the last.
const LEAST_PART: u64 = 5 * MIB;
/// How many times as large as its source a content may be that is made of it, for its parts to be as large as they must: text of
/// which columns are made becomes smaller mostly, and grows where numbers of one digit become such of eight bytes.
const MOST_GROWTH: u64 = 8;

/// What copying may use.
///
/// The most memory held for content is `max(memory, largest part)`, whatever the number of objects and targets: a part is
/// read only when the budget has room, and its bytes are shared by all targets. One that is sent while it is read takes 2 MiB of
/// the budget, and all of its size when it has to be read again. A third of the budget is for ranges of large objects that are read
/// ahead. A part is `part_size`, or more where an object would else have more than 10,000 parts (a 5 TiB object: 525 MiB), but never
/// more than its store takes; what is made of an object while that is read is cut as if it were eight times as large. What comes on
/// top does not grow with the number of objects: see [`crate::mirror`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferLimits {
    /// Objects in flight at once (default [`Self::OBJECTS`]): what hides the distance of a store from small objects.
    pub objects: usize,
    /// Objects in parts in flight at once, of those (default 4): few fill a network, and each holds parts in memory.
    pub large_objects: usize,
    /// Parts of one object in flight at once to each target (default 4).
    pub parts: usize,
    /// Bytes of content held in memory (default 96 MiB).
    pub memory: u64,
    /// Objects up to this size go in one request, larger ones in parts of it (default 8 MiB, at least 5 MiB).
    pub part_size: u64,
    /// Bytes of an object in parts between two notes of how far it has come, kept at the target (default 64 MiB): what a pass
    /// that was killed may have to send again.
    pub noted_every: u64,
}

impl Default for TransferLimits {
    fn default() -> Self {
        Self {
            objects: Self::OBJECTS.into(),
            large_objects: 4,
            parts: 4,
            memory: 96 * MIB,
            part_size: 8 * MIB,
            noted_every: 64 * MIB,
        }
    }
}

impl TransferLimits {
    /// Objects in flight at once, where nothing else is asked for.
    pub const OBJECTS: u16 = 64;

    /// Whether an object of this size goes in parts.
    pub(crate) fn is_large(&self, size: u64) -> bool {
        size > self.part_size.max(LEAST_PART)
    }

    /// The parts' sizes of an object that a store with these limits can hold, in order; a single one means a single request.
    pub(crate) fn parts_of(&self, size: u64, limits: PartLimits) -> Vec<u64> {
        if !self.is_large(size) {
            return vec![size];
        }
        let part = self.part_of(size, limits);
        (0..size.div_ceil(part)).map(|index| part.min(size - index * part)).collect()
    }

    /// How a content is cut that stores with these limits can hold.
    pub(crate) fn cut(&self, size: Size, limits: PartLimits) -> Cut {
        match size {
            Size::Known(size) => Cut::Known(self.parts_of(size, limits)),
            Size::Open { source } => {
                let estimate = source.saturating_mul(MOST_GROWTH).min(limits.object);
                let part = self.part_of(estimate, limits).min(limits.object);
                Cut::Open { part, most: limits.object.min(limits.parts.saturating_mul(part)) }
            }
        }
    }

    /// The size of a part of an object of this size.
    fn part_of(&self, size: u64, limits: PartLimits) -> u64 {
        let few = size.div_ceil(WANTED_PARTS.min(limits.parts)).next_multiple_of(MIB);
        self.part_size.max(LEAST_PART).max(few).min(limits.part)
    }
}

/// What is known of a content's size before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Known(u64),
    /// It ends where its reader does: it is made of an object of so many bytes while that is read.
    Open {
        source: u64,
    },
}

/// How a content is cut into parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Of these sizes, in order; a single one means a single request.
    Known(Vec<u64>),
    /// All of one size but the last (Cloudflare R2 takes no others), until its reader ends; of `most` bytes in all.
    Open { part: u64, most: u64 },
}

impl Cut {
    /// The size of part `number` (from 1), of which the last may be shorter where the cut is open. `None` after the last, or after
    /// as many as stores take.
    pub(crate) fn part(&self, number: usize) -> Option<u64> {
        let index = number.checked_sub(1)?;
        match self {
            Self::Known(sizes) => sizes.get(index).copied(),
            Self::Open { part, most } => {
                let left = most.saturating_sub(part.saturating_mul(index as u64));
                (left > 0).then_some(left.min(*part))
            }
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// How many parts there are at least: what ends within its first part is not left open.
    pub(crate) fn least_parts(&self) -> usize {
        match self {
            Self::Known(sizes) => sizes.len(),
            Self::Open { .. } => 2,
        }
    }
}

/// What a store can hold of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartLimits {
    /// The most parts.
    pub parts: u64,
    /// The most bytes of a part.
    pub part: u64,
    /// The most bytes of an object.
    pub object: u64,
}

impl PartLimits {
    /// Amazon S3: 10,000 parts of 5 GiB, and objects of as much as that makes (48.8 TiB).
    pub(crate) const S3: Self = Self { parts: 10_000, part: 5 * GIB, object: 50_000 * GIB };
    /// Azure: 50,000 blocks of 4,000 MiB.
    pub(crate) const AZURE: Self = Self { parts: 50_000, part: 4_000 * MIB, object: 50_000 * 4_000 * MIB };
    /// Google: objects of 5 TiB. Of parts there may be any number, since they are composed in rounds; their names have five digits.
    pub(crate) const GOOGLE: Self = Self { parts: 99_999, part: 5 * GIB, object: 5 * TIB };
    /// A folder: what its file system takes.
    pub(crate) const NONE: Self = Self { parts: u64::MAX, part: u64::MAX, object: u64::MAX };

    fn most(self) -> u64 {
        self.object.min(self.parts.saturating_mul(self.part))
    }

    /// The limits of several stores that share one cut.
    pub(crate) fn strictest(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::NONE, |one, other| Self {
            parts: one.parts.min(other.parts),
            part: one.part.min(other.part),
            object: one.object.min(other.object),
        })
    }

    /// Whether an object of this size fits; the error says why it does not.
    pub(crate) fn check(self, size: u64) -> Result<(), String> {
        if size <= self.most() {
            return Ok(());
        }
        Err(format!("an object of {size} bytes does not fit: the store holds at most {} bytes", self.most()))
    }
}

/// To which of several stores an object can go that is cut once for all of them: for each, `None`, or why not.
pub(crate) fn refusals(size: u64, limits: &[PartLimits]) -> Vec<Option<String>> {
    let alone: Vec<_> = limits.iter().map(|limits| limits.check(size).err()).collect();
    let fitting = limits.iter().zip(&alone).filter(|(_, refusal)| refusal.is_none()).map(|(limits, _)| *limits);
    // Many small parts for one store, and few large ones for another.
    if PartLimits::strictest(fitting).check(size).is_err() {
        let why = format!("an object of {size} bytes cannot be cut for all targets at once: copy it to one at a time");
        return alone.into_iter().map(|refusal| refusal.or_else(|| Some(why.clone()))).collect();
    }
    alone
}

#[cfg(test)]
mod tests {
    use super::{
        Cut, GIB, LEAST_PART, MIB, MOST_GROWTH, PartLimits, Size, TIB, TransferLimits, WANTED_PARTS, refusals,
    };
    use proptest::prelude::*;

    const STORES: [PartLimits; 4] = [PartLimits::S3, PartLimits::AZURE, PartLimits::GOOGLE, PartLimits::NONE];

    #[test]
    fn small_objects_are_one_part() {
        let limits = TransferLimits::default();
        for store in STORES {
            assert_eq!(limits.parts_of(0, store), [0]);
            assert_eq!(limits.parts_of(8 * MIB, store), [8 * MIB]);
            assert_eq!(limits.parts_of(8 * MIB + 1, store), [8 * MIB, 1]);
        }
    }

    #[test]
    fn parts_grow_with_the_object_up_to_what_the_store_takes() {
        let (s3, azure, google) = (PartLimits::S3, PartLimits::AZURE, PartLimits::GOOGLE);
        for (store, size, part, parts) in [
            (s3, 80_000 * MIB, 8 * MIB, 10_000),
            (s3, 80_000 * MIB + 1, 9 * MIB, 8_889),
            (s3, 5 * TIB, 525 * MIB, 9_987),
            (s3, 50_000 * GIB, 5 * GIB, 10_000),
            (azure, 5 * TIB, 525 * MIB, 9_987),
            (azure, 40_000_000 * MIB, 4_000 * MIB, 10_000),
            (azure, 40_000_001 * MIB, 4_000 * MIB, 10_001),
            (azure, 200_000_000 * MIB, 4_000 * MIB, 50_000),
            (google, 5 * TIB, 525 * MIB, 9_987),
        ] {
            let cut = TransferLimits::default().parts_of(size, store);
            assert_eq!((cut[0], cut.len()), (part, parts), "{size}");
        }
    }

    #[test]
    fn what_no_store_holds_is_refused_by_each_that_does_not() {
        let (s3, azure, google, folder) = (PartLimits::S3, PartLimits::AZURE, PartLimits::GOOGLE, PartLimits::NONE);
        for (size, stores, refused) in [
            (5 * TIB, vec![s3, azure, google, folder], vec![]),
            (5 * TIB + 1, vec![s3, azure, google, folder], vec![2]),
            (50_000 * GIB, vec![s3, google], vec![1]),
            (50_000 * GIB + 1, vec![s3, azure], vec![0]),
            (200_000_001 * MIB, vec![azure, folder], vec![0]),
            // 10,000 parts of 4,000 MiB are what both take.
            (40_000_000 * MIB, vec![s3, azure], vec![]),
            (40_000_001 * MIB, vec![s3, azure], vec![0, 1]),
            (40_000_001 * MIB, vec![s3, azure, google], vec![0, 1, 2]),
        ] {
            let found = refusals(size, &stores);
            let found: Vec<_> = (0..stores.len()).filter(|index| found[*index].is_some()).collect();
            assert_eq!(found, refused, "{size} {stores:?}");
        }
        let why = refusals(5 * TIB + 1, &[google]);
        assert_eq!(
            why[0].as_deref(),
            Some("an object of 5497558138881 bytes does not fit: the store holds at most 5497558138880 bytes")
        );
    }

    #[test]
    fn parts_of_what_is_made_grow_with_its_source() {
        let (s3, azure, folder) = (PartLimits::S3, PartLimits::AZURE, PartLimits::NONE);
        let small = PartLimits { object: 6 * MIB, ..s3 };
        for (store, source, part, most) in [
            (s3, 0, 8 * MIB, 80_000 * MIB),
            (s3, 10_000 * MIB, 8 * MIB, 80_000 * MIB),
            (s3, 10_000 * MIB + 1, 9 * MIB, 90_000 * MIB),
            (s3, 10 * TIB, 5 * GIB, 50_000 * GIB),
            (s3, u64::MAX, 5 * GIB, 50_000 * GIB),
            (azure, 10_000 * MIB, 8 * MIB, 400_000 * MIB),
            (small, TIB, 6 * MIB, 6 * MIB),
            (folder, 0, 8 * MIB, u64::MAX),
        ] {
            let cut = TransferLimits::default().cut(Size::Open { source }, store);
            assert_eq!(cut, Cut::Open { part, most }, "{source}");
        }
    }

    #[test]
    fn an_open_cut_ends_with_what_stores_take() {
        let cut = Cut::Open { part: 8, most: 20 };
        assert_eq!(
            [0, 1, 2, 3, 4, usize::MAX].map(|number| cut.part(number)),
            [None, Some(8), Some(8), Some(4), None, None]
        );
        let known = Cut::Known(vec![8, 4]);
        assert_eq!([0, 1, 2, 3].map(|number| known.part(number)), [None, Some(8), Some(4), None]);
        assert_eq!((cut.least_parts(), known.least_parts()), (2, 2));
    }

    proptest! {
        #[test]
        fn what_is_made_fits_when_it_is_not_larger_than_was_thought(
            (source, size) in (0..1_000_000 * MIB).prop_flat_map(|source| (Just(source), 0..=MOST_GROWTH * source)),
            part_size in 0..256 * MIB,
            stores in prop::collection::vec(prop::sample::select(STORES.to_vec()), 1..4),
        ) {
            prop_assume!(refusals(size, &stores).iter().all(Option::is_none));
            let limits = PartLimits::strictest(stores);
            let transfer = TransferLimits { part_size, ..TransferLimits::default() };
            let cut = transfer.cut(Size::Open { source }, limits);
            let part = cut.part(1).unwrap();
            prop_assert!(part <= limits.part && part >= part_size.max(LEAST_PART).min(limits.part));
            let count = usize::try_from(size.div_ceil(part).max(1)).unwrap();
            prop_assert!(count as u64 <= limits.parts);
            prop_assert!((1..count).all(|number| cut.part(number) == Some(part)), "all but the last are as large");
            let last = size - part * (count as u64 - 1);
            prop_assert!(cut.part(count).is_some_and(|most| last <= most));
        }

        #[test]
        fn parts_cover_the_object_within_the_limits(
            size in 0..200_000_000 * MIB,
            part_size in 0..256 * MIB,
            stores in prop::collection::vec(prop::sample::select(STORES.to_vec()), 1..4),
        ) {
            prop_assume!(refusals(size, &stores).iter().all(Option::is_none));
            let limits = PartLimits::strictest(stores);
            let parts = TransferLimits { part_size, ..TransferLimits::default() }.parts_of(size, limits);
            prop_assert_eq!(parts.iter().sum::<u64>(), size);
            prop_assert!(parts.len() as u64 <= limits.parts && parts[0] <= limits.part);
            prop_assert!(parts.len() as u64 <= WANTED_PARTS || parts[0] == limits.part);
            let (last, others) = parts.split_last().unwrap();
            prop_assert!(others.iter().all(|part| *part >= LEAST_PART && *part == parts[0]));
            prop_assert!(size == 0 || *last > 0);
        }
    }
}
