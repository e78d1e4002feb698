//! Copies within one service, made by the service itself.

use super::source_tags::SourceTags;
use super::{Copy, Destination, Transfer};
use crate::cancel::cancellable;
use crate::state::StateEntry;
use crate::{Condition, CopySource, ObjectSummary, Replica, StoreCopy, StoreError, StoreErrorKind, Tags, Verification};

/// What became of one destination.
pub(crate) enum ByStore {
    Copied(Copy),
    /// The bytes have to be read and written there: they are to be digested, or the store cannot copy or cannot show that the copy is one.
    Left(Destination),
}

/// Lets the destination's store copy the object, where it is that of the source too.
pub(crate) async fn copy_by_store(
    source: &Replica,
    object: &ObjectSummary,
    destination: &Destination,
    transfer: &Transfer,
) -> Result<ByStore, StoreError> {
    let Destination { store, key, condition, journals, .. } = destination;
    let (from, place) = (source.store.place(), store.place());
    let is_read = transfer.sha256 || transfer.verification == Verification::ReadBack;
    if is_read || from.endpoint != place.endpoint || object.etag.is_empty() {
        return Ok(ByStore::Left(destination.clone()));
    }
    let source_key = source.key(&object.key);
    let copied = CopySource { store: &*source.store, key: &source_key, version: object };
    let copy = match cancellable(&transfer.cancel, place, store.copy_from(&copied, key, condition)).await {
        // Nobody can be asked now, or a stop was asked for. To be refused is another thing: the target's credentials may lack the source.
        Err(error) if error.concerns_whole_bucket() && error.kind != StoreErrorKind::CredentialsRefused => {
            return Err(error);
        }
        Err(error) => {
            tracing::debug!(%error, "the store does not copy by itself: the bytes are read and written");
            StoreCopy::None
        }
        Ok(copy) => copy,
    };
    let written = match copy {
        StoreCopy::Proven(written) => written,
        StoreCopy::None => return Ok(ByStore::Left(destination.clone())),
        // What is there now is our own.
        StoreCopy::Unproven(etag) => {
            return Ok(ByStore::Left(Destination { condition: Condition::seen(&etag), ..destination.clone() }));
        }
    };
    if let Some(journals) = journals {
        // What an earlier pass has begun to write.
        journals.discard(key, &transfer.cancel).await;
    }
    Ok(ByStore::Copied(Copy {
        entry: StateEntry {
            size: object.size,
            sha256: None,
            source_etag: object.etag.clone(),
            source_modified: object.modified,
            target_etag: written.etag,
            made: None,
        },
        modified: written.modified.unwrap_or_default(),
        has_attributes: false,
        tags: SourceTags::Read(Tags::new()),
        by_store: true,
    }))
}
