//! Brings a part of a dataset up to date, for a pass over everything that takes it over.

use futures::stream::{self, TryStreamExt as _};
use tokio_util::sync::CancellationToken;

use super::assign::Assignment;
use super::hand_over::Budget;
use super::key_range::KeyRange;
use super::overlap::overlapping;
use super::round::{Ended, Round};
use super::target::{Manner, Target};
use super::types::{MirrorOptions, MirrorProgress, MirrorReport};
use crate::state::{Asked, Book, Proofs};
use crate::{DatasetName, MirrorError, Replica, ShardBy, StoreError, list};

/// Objects that are removed at once.
const AT_ONCE: usize = 16;

/// A part of a work that a worker does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portion {
    /// The keys.
    pub range: KeyRange,
    /// What names the work, of letters a to z, digits and dashes.
    pub work: String,
    /// Which part it is. Parts are counted in the order of their keys and have none in common.
    pub unit: u32,
    /// Who does it. Two that do the same at once have two numbers.
    pub worker: u32,
}

/// Why a portion cannot be brought by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPortion {
    /// Only of a dataset it is told what was proven.
    #[error("a part can be mirrored by itself of a dataset only")]
    NoDataset,
    /// Where an object goes depends on all others.
    #[error("a part of a dataset that is split by the number or size of its objects cannot be mirrored by itself")]
    Split,
    /// It would become a part of keys.
    #[error("{0:?} names no work: expected letters a to z, digits and dashes")]
    Work(String),
}

impl Portion {
    fn check(&self, options: &MirrorOptions) -> Result<(), InvalidPortion> {
        if options.sharding.as_ref().is_some_and(|sharding| sharding.by != ShardBy::Hash) {
            return Err(InvalidPortion::Split);
        }
        let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.work.is_empty() || !self.work.bytes().all(is_known) {
            return Err(InvalidPortion::Work(self.work.clone()));
        }
        Ok(())
    }
}

/// Brings what has keys in a range up to date at every target, once, and tells there what was proven: a [`mirror`](crate::mirror) that
/// [adopts](MirrorOptions::adopts) the work finds it settled, remembers it and publishes it. Until then, a further pass over the same
/// portion finds it settled too, whichever worker makes it.
///
/// It only copies. Nothing is removed, no manifest is published, what is remembered of the targets stays as it is, and so does what
/// nobody can go on with. Where versions are kept, what is overwritten is put away first.
///
/// The guarantees are those of [`mirror`](crate::mirror), and it assumes that no pass over everything writes to a target meanwhile: one
/// that publishes would name what is overwritten. Others may bring other portions meanwhile, and even this one: then an object
/// may be read twice, and fail at one of them. Memory is that of a [`mirror`](crate::mirror), and of what is known of the objects of
/// the portion. A share of rows that may fail is not looked at, unless none may.
///
/// # Errors
/// When the portion is no part of a dataset that can be brought by itself, the source cannot be listed, two of the copies overlap, the
/// shards do not fit the targets, or on cancellation. What fails at a target is in the report.
pub async fn mirror_range(
    source: &Replica,
    targets: &[Replica],
    (options, portion): (&MirrorOptions, &Portion),
    cancel: &CancellationToken,
    progress: MirrorProgress,
) -> Result<MirrorReport, MirrorError> {
    if let Some((one, other)) = overlapping(source, targets) {
        return Err(MirrorError::Overlap(one, other));
    }
    let dataset = &options.dataset.as_ref().ok_or(InvalidPortion::NoDataset)?.name;
    portion.check(options)?;
    if let Some(sharding) = &options.sharding {
        sharding.check(targets.len(), options.transform().map(|transform| &**transform))?;
    }
    let keeps_versions = options.versions.is_some() && !options.dry_run;
    let manner = Manner { remembers_all: true, keeps_versions, is_dry: options.dry_run };
    let mut sorted = vec![false; targets.len() + 1];
    let mut budget = Budget::new(options);
    loop {
        let mut looked_at = Vec::with_capacity(targets.len());
        for replica in targets {
            let book = Book::of(replica, Some(dataset), source.identity());
            let proofs = Proofs::of(replica, (dataset, &portion.work), source.identity());
            let asked = Asked::Portion(proofs, portion);
            looked_at.push(Target::look(replica.clone(), (book, asked), manner, cancel).await);
        }
        let assignment = Assignment::new(options.sharding.as_ref(), None);
        let round =
            Round::new(source.clone(), looked_at, (options, assignment), &mut budget, cancel.clone(), progress.clone());
        match round.run_in(&portion.range, &sorted).await? {
            Ended::Whole(report) => return Ok(*report),
            // What was copied by now was told.
            Ended::Unordered(side) => sorted[side] = true,
        }
    }
}

/// Removes all that the workers of a work have told in a target's bucket.
///
/// # Errors
/// When it cannot be listed or removed. To call it again is right.
pub async fn forget_work(target: &Replica, dataset: &DatasetName, work: &str) -> Result<(), StoreError> {
    let folder = format!("{}{work}/", dataset.work_folder());
    let there: Vec<_> = list(&*target.store, &folder).try_collect().await?;
    let removals = there.into_iter().map(Ok);
    stream::iter(removals).try_for_each_concurrent(AT_ONCE, async |object| target.store.delete(&object.key).await).await
}

#[cfg(test)]
mod tests {
    use super::{InvalidPortion, KeyRange, MirrorOptions, Portion};
    use crate::{ShardBy, Sharding};

    #[test]
    fn only_what_can_be_done_alone_is_a_portion() {
        let portion = |work: &str| Portion { range: KeyRange::default(), work: work.to_owned(), unit: 0, worker: 0 };
        let by = |by| {
            let sharding = Sharding { by, shards: Vec::new(), piece_size: None };
            MirrorOptions { sharding: Some(sharding), ..MirrorOptions::default() }
        };
        assert_eq!(portion("w-1").check(&MirrorOptions::default()), Ok(()));
        assert_eq!(portion("w-1").check(&by(ShardBy::Hash)), Ok(()));
        assert_eq!(portion("w-1").check(&by(ShardBy::Count)), Err(InvalidPortion::Split));
        assert_eq!(portion("w-1").check(&by(ShardBy::Size)), Err(InvalidPortion::Split));
        for wrong in ["", "W", "a/b", "..", "a.b"] {
            assert_eq!(portion(wrong).check(&MirrorOptions::default()), Err(InvalidPortion::Work(wrong.to_owned())));
        }
    }
}
