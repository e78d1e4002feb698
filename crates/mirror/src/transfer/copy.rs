//! Copies one object to all targets that need it.

use futures::future::join_all;

use super::attempt::{copy_once, discard};
use super::destination::Destination;
use super::server_copy::{ByStore, copy_by_store};
use super::source_tags::SourceTags;
use super::{Transfer, part};
use crate::state::StateEntry;
use crate::{ObjectSummary, Replica, StoreError, StoreErrorKind};

/// How often an object is begun anew because it changed, or came damaged, while it was read.
const MOST_RESTARTS: u32 = 3;

/// A copy that was proven.
pub(crate) struct Copy {
    pub(crate) entry: StateEntry,
    /// When the target says that it was written, in seconds since the Unix epoch.
    pub(crate) modified: i64,
    /// Whether the source's object carries anything beside its bytes and tags.
    pub(crate) has_attributes: bool,
    pub(crate) tags: SourceTags,
    /// Whether the store copied it by itself, and nothing was read.
    pub(crate) by_store: bool,
}

impl Copy {
    /// Whether the source's object was another one by then than a listing had shown.
    pub(crate) fn is_not_of(&self, listed: &ObjectSummary) -> bool {
        self.entry.source_etag != listed.etag || self.entry.source_modified != listed.modified
    }
}

/// How the source went.
pub(crate) enum SourceRead {
    /// It was read whole: how each target went, in order.
    Whole(Vec<Result<Copy, StoreError>>),
    /// The object is gone.
    Vanished,
}

/// Copies one object, anew when it changes under the copy. `sent` is told which destination has taken how many bytes.
///
/// # Errors
/// The source cannot be read, or changes again and again.
pub(crate) async fn copy_object(
    source: &Replica,
    object: &ObjectSummary,
    destinations: &[Destination],
    transfer: &Transfer,
    sent: impl Fn(usize, u64) + Sync,
) -> Result<SourceRead, StoreError> {
    let refusals = refusals(object.size, destinations).into_iter().zip(destinations).enumerate();
    let without_reading = refusals.map(async |(index, (refusal, destination))| {
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let outcome = copy_by_store(source, object, destination, transfer).await;
        if let Ok(ByStore::Copied(_)) = outcome {
            sent(index, object.size);
        }
        outcome
    });
    let (mut outcomes, mut left) = (Vec::with_capacity(destinations.len()), Vec::new());
    for (index, outcome) in join_all(without_reading).await.into_iter().enumerate() {
        outcomes.push(match outcome {
            Ok(ByStore::Copied(copy)) => Some(Ok(copy)),
            Ok(ByStore::Left(destination)) => {
                left.push((index, destination));
                None
            }
            Err(error) => Some(Err(error)),
        });
    }
    let (indices, left): (Vec<_>, Vec<_>) = left.into_iter().unzip();
    let mut copies = Vec::new().into_iter();
    if !left.is_empty() {
        let _turn = transfer.turn(object.size).await;
        let sent = |index: usize, bytes| sent(indices[index], bytes);
        match copy_whole(source, object, &left, transfer, sent).await? {
            SourceRead::Whole(read) => copies = read.into_iter(),
            SourceRead::Vanished => return Ok(SourceRead::Vanished),
        }
    }
    Ok(SourceRead::Whole(outcomes.into_iter().filter_map(|outcome| outcome.or_else(|| copies.next())).collect()))
}

/// Why destinations cannot hold an object of this size.
pub(super) fn refusals(size: u64, destinations: &[Destination]) -> Vec<Option<StoreError>> {
    let limits: Vec<_> = destinations.iter().map(|destination| destination.store.part_limits()).collect();
    let refusals = part::refusals(size, &limits).into_iter().zip(destinations);
    let refusal = |(why, Destination { store, key, .. }): (Option<String>, &Destination)| {
        Some(store.place().error(StoreErrorKind::Rejected, format!("write {key:?}"), why?))
    };
    refusals.map(refusal).collect()
}

async fn copy_whole(
    source: &Replica,
    object: &ObjectSummary,
    destinations: &[Destination],
    transfer: &Transfer,
    sent: impl Fn(usize, u64) + Sync,
) -> Result<SourceRead, StoreError> {
    let mut restarts = Restarts::default();
    loop {
        match copy_once(source, object, destinations, transfer, &sent).await {
            Err(error) if is_stale(&error) => {
                // What they hold is of another version, or damaged.
                join_all(destinations.iter().map(|destination| discard(destination, transfer))).await;
                restarts.after(error)?;
            }
            outcome => return outcome,
        }
    }
}

/// Whether the source's object changed, or came damaged, while it was read.
pub(super) fn is_stale(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Changed | StoreErrorKind::Corrupt)
}

/// How often an object was begun anew.
#[derive(Default)]
pub(super) struct Restarts(u32);

impl Restarts {
    /// Counts one more; the error when there were enough.
    pub(super) fn after(&mut self, error: StoreError) -> Result<(), StoreError> {
        if self.0 == MOST_RESTARTS {
            return Err(error);
        }
        self.0 += 1;
        tracing::info!(%error, restarts = self.0, "the source's object changed or came damaged: reading it anew");
        Ok(())
    }
}
