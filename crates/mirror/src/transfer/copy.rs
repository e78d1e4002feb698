//! Copies one object to all targets that need it.

use futures::future::join_all;

use super::attempt::{copy_once, discard};
use super::destination::Destination;
use super::server_copy::copy_by_store;
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
            return Some(Err(refusal));
        }
        let copy = copy_by_store(source, object, destination, transfer).await.transpose();
        if let Some(Ok(_)) = copy {
            sent(index, object.size);
        }
        copy
    });
    let without_reading = join_all(without_reading).await;
    if without_reading.iter().all(Option::is_none) {
        let _turn = transfer.turn(object.size).await;
        return copy_whole(source, &object.key, destinations, transfer, sent).await;
    }
    let others: Vec<_> = (0..destinations.len()).filter(|index| without_reading[*index].is_none()).collect();
    let destinations: Vec<_> = others.iter().map(|index| destinations[*index].clone()).collect();
    let mut copies = Vec::new().into_iter();
    if !destinations.is_empty() {
        let _turn = transfer.turn(object.size).await;
        let sent = |index: usize, bytes| sent(others[index], bytes);
        match copy_whole(source, &object.key, &destinations, transfer, sent).await? {
            SourceRead::Whole(read) => copies = read.into_iter(),
            SourceRead::Vanished => return Ok(SourceRead::Vanished),
        }
    }
    Ok(SourceRead::Whole(without_reading.into_iter().filter_map(|copy| copy.or_else(|| copies.next())).collect()))
}

/// Why destinations cannot hold an object of this size.
fn refusals(size: u64, destinations: &[Destination]) -> Vec<Option<StoreError>> {
    let limits: Vec<_> = destinations.iter().map(|destination| destination.store.part_limits()).collect();
    let refusals = part::refusals(size, &limits).into_iter().zip(destinations);
    let refusal = |(why, Destination { store, key, .. }): (Option<String>, &Destination)| {
        Some(store.place().error(StoreErrorKind::Rejected, format!("write {key:?}"), why?))
    };
    refusals.map(refusal).collect()
}

async fn copy_whole(
    source: &Replica,
    key: &str,
    destinations: &[Destination],
    transfer: &Transfer,
    sent: impl Fn(usize, u64) + Sync,
) -> Result<SourceRead, StoreError> {
    let mut restarts = 0;
    loop {
        let outcome = copy_once(source, key, destinations, transfer, &sent).await;
        let is_stale = |error: &StoreError| matches!(error.kind, StoreErrorKind::Changed | StoreErrorKind::Corrupt);
        match outcome {
            Err(error) if is_stale(&error) => {
                // What they hold is of another version, or damaged.
                join_all(destinations.iter().map(|destination| discard(destination, transfer))).await;
                if restarts == MOST_RESTARTS {
                    return Err(error);
                }
                restarts += 1;
                tracing::info!(%error, restarts, "the source's object changed or came damaged: copying it anew");
            }
            outcome => return outcome,
        }
    }
}
