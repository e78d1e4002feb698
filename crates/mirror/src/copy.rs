//! Copies one object to all targets that need it.

use crate::fan_out::{Destination, Proven, Transfer, fan_out};
use crate::reader::ObjectReader;
use crate::{Attributes, Replica, StateEntry, StoreError, StoreErrorKind};

/// How often an object is begun anew because it changed, or came damaged, while it was read.
const MOST_RESTARTS: u32 = 3;

/// A copy that was proven.
pub(crate) struct Copy {
    pub(crate) entry: StateEntry,
    /// When the target says that it was written, in seconds since the Unix epoch.
    pub(crate) modified: i64,
    /// Whether the source's object carries anything beside its bytes.
    pub(crate) has_attributes: bool,
}

/// How the source went.
pub(crate) enum SourceRead {
    /// It was read whole: how each target went, in order.
    Whole(Vec<Result<Copy, StoreError>>),
    /// The object is gone.
    Vanished,
}

/// Copies one object of about this size, anew when it changes under the copy. `sent` is told which destination has taken how
/// many bytes.
///
/// # Errors
/// The source cannot be read, or changes again and again.
pub(crate) async fn copy_object(
    source: &Replica,
    key: &str,
    size: u64,
    destinations: &[Destination],
    transfer: &Transfer,
    sent: impl Fn(usize, u64) + Sync,
) -> Result<SourceRead, StoreError> {
    let _turn = transfer.turn(size).await;
    let mut restarts = 0;
    loop {
        match copy_once(source, key, destinations, transfer, &sent).await {
            Err(error)
                if matches!(error.kind, StoreErrorKind::Changed | StoreErrorKind::Corrupt)
                    && restarts < MOST_RESTARTS =>
            {
                restarts += 1;
                tracing::info!(%error, restarts, "the source's object changed or came damaged: copying it anew");
            }
            outcome => return outcome,
        }
    }
}

async fn copy_once(
    source: &Replica,
    key: &str,
    destinations: &[Destination],
    transfer: &Transfer,
    sent: &(impl Fn(usize, u64) + Sync),
) -> Result<SourceRead, StoreError> {
    let opened = ObjectReader::open(source.store.clone(), source.key(key), 0, None, transfer.cancel.clone()).await;
    let mut reader = match opened {
        Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(SourceRead::Vanished),
        other => other?,
    };
    reader.pace = transfer.pace.clone();
    let head = reader.head().clone();
    let copies = fan_out(&mut reader, head.size, &head.attributes, destinations, transfer, sent).await?;
    let copy = |Proven { sha256, etag, modified }: Proven| Copy {
        entry: StateEntry {
            size: head.size,
            sha256,
            source_etag: head.etag.clone(),
            source_modified: head.modified,
            target_etag: etag,
        },
        modified,
        has_attributes: head.attributes != Attributes::default(),
    };
    Ok(SourceRead::Whole(copies.into_iter().map(|proven| proven.map(copy)).collect()))
}
