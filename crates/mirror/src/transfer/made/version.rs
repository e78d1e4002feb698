//! The version of an object that all its pieces are of.

use crate::cancel::cancellable;
use crate::transfer::Transfer;
use crate::transfer::object_reader::Pinned;
use crate::{ObjectHead, ObjectSummary, Replica, StoreError, StoreErrorKind};

/// Looks at the object, to be read in the version that was listed, which each of its pieces is made of by itself.
///
/// # Errors
/// [`StoreErrorKind::Changed`] where it is another one by now.
pub(super) async fn listed_version(
    source: &Replica,
    key: &str,
    listed: &ObjectSummary,
    transfer: &Transfer,
) -> Result<(ObjectHead, Pinned), StoreError> {
    let (store, key, cancel) = (source.store.clone(), source.key(key), transfer.cancel.clone());
    let head = cancellable(&cancel, store.place(), store.head(&key)).await?;
    if head.etag != listed.etag {
        return Err(store.place().error(StoreErrorKind::Changed, format!("read {key:?}"), "it has another ETag"));
    }
    let pinned = Pinned::of(store, key, &head, cancel)?;
    Ok((head, pinned))
}

/// Whether the object that was listed is not there any more.
pub(super) fn is_of_another_version(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Changed | StoreErrorKind::NotFound)
}

/// What to say then: the pass goes on, and does not name what it made of the others.
pub(super) fn changed(error: StoreError) -> StoreError {
    let detail = format!(
        "it changed after it was listed, and its pieces are all of one version: the next pass cuts it anew ({})",
        error.detail
    );
    StoreError { kind: StoreErrorKind::Changed, detail, ..error }
}
