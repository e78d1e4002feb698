//! Copies one object to all targets that need it.

use futures::future::join_all;

use crate::cancel::cancellable;
use crate::content::{Hashing, Wanted};
use crate::fan_out::{Content, Destination, Proven, Start, Transfer, fan_out};
use crate::journal::{Journal, SourceVersion};
use crate::reader::ObjectReader;
use crate::{Attributes, ObjectHead, Replica, RetryClass, StateEntry, StoreError, StoreErrorKind};

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

async fn copy_once(
    source: &Replica,
    key: &str,
    destinations: &[Destination],
    transfer: &Transfer,
    sent: &(impl Fn(usize, u64) + Sync),
) -> Result<SourceRead, StoreError> {
    let journals = join_all(destinations.iter().map(|destination| journal_of(destination, transfer))).await;
    let (start, pinned) = match begin(source, key, destinations, journals, transfer).await {
        Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(SourceRead::Vanished),
        other => other?,
    };
    let resumed: Vec<_> = start.journals.iter().map(Option::is_some).collect();
    let copies = match copy_from(source, key, destinations, start, pinned.as_deref(), transfer, sent).await? {
        SourceRead::Whole(copies) => copies,
        SourceRead::Vanished => return Ok(SourceRead::Vanished),
    };
    // A store may have thrown away what the journal names.
    let mut outcomes = Vec::with_capacity(copies.len());
    for (index, (copy, resumed)) in copies.into_iter().zip(resumed).enumerate() {
        let destination = &destinations[index];
        let outcome = match copy {
            Err(error) if !may_go_on(&error, resumed) || is_another_content(&error, source) => {
                discard(destination, transfer).await;
                if resumed || is_another_content(&error, source) {
                    tracing::info!(%error, "an upload cannot be gone on with: copying the object anew");
                    let sent = |_, bytes| sent(index, bytes);
                    let only = std::slice::from_ref(destination);
                    match copy_from(source, key, only, Start::afresh(1), None, transfer, &sent).await? {
                        SourceRead::Whole(mut copies) => copies.pop().unwrap_or(Err(error)),
                        SourceRead::Vanished => return Ok(SourceRead::Vanished),
                    }
                } else {
                    Err(error)
                }
            }
            copy => copy,
        };
        outcomes.push(outcome);
    }
    Ok(SourceRead::Whole(outcomes))
}

/// Whether a part that was read again was not what it had been.
fn is_another_content(error: &StoreError, source: &Replica) -> bool {
    let place = source.store.place();
    let is_of_source = error.endpoint == place.endpoint && error.bucket == place.bucket;
    is_of_source && matches!(error.kind, StoreErrorKind::Changed | StoreErrorKind::Corrupt)
}

/// Whether an upload that failed so is worth going on with, another time.
fn may_go_on(error: &StoreError, resumed: bool) -> bool {
    match error.kind {
        StoreErrorKind::Corrupt => false,
        // It may be the upload itself that the store fails at.
        StoreErrorKind::Unavailable => !resumed,
        _ => error.retry() != RetryClass::Permanent || error.concerns_whole_bucket(),
    }
}

async fn journal_of(destination: &Destination, transfer: &Transfer) -> Option<Journal> {
    destination.journals.as_ref()?.of(&destination.key, &transfer.cancel).await
}

async fn discard(destination: &Destination, transfer: &Transfer) {
    if let Some(journals) = &destination.journals {
        journals.discard(&destination.key, &transfer.cancel).await;
    }
}

/// Where to begin, and the version that has to be read then.
async fn begin(
    source: &Replica,
    key: &str,
    destinations: &[Destination],
    mut journals: Vec<Option<Journal>>,
    transfer: &Transfer,
) -> Result<(Start, Option<String>), StoreError> {
    if journals.iter().all(Option::is_none) {
        return Ok((Start::afresh(destinations.len()), None));
    }
    let place = source.store.place();
    let head = cancellable(&transfer.cancel, place, source.store.head(&source.key(key))).await?;
    let (version, sizes) = (SourceVersion::of(source, &head), transfer.limits.parts_of(head.size));
    let wanted = Wanted { sha256: transfer.sha256, ..Wanted::default() }.to_compare_with(head.whole_checksum());
    for (destination, journal) in destinations.iter().zip(&mut journals) {
        let Some(kept) = &*journal else { continue };
        let fits = version.as_ref().is_some_and(|version| kept.fits(version, &sizes));
        if !fits || Hashing::resume(kept.whole.clone(), wanted).is_none() {
            *journal = None;
            discard(destination, transfer).await;
        }
    }
    let least = journals.iter().map(|journal| journal.as_ref().map_or(0, |journal| journal.parts.len())).min();
    let whole = journals.iter().flatten().find(|journal| Some(journal.parts.len()) == least);
    let whole = whole.map(|journal| journal.whole.clone());
    Ok((Start { journals, whole }, Some(head.etag)))
}

async fn copy_from(
    source: &Replica,
    key: &str,
    destinations: &[Destination],
    start: Start,
    pinned: Option<&str>,
    transfer: &Transfer,
    sent: &(impl Fn(usize, u64) + Sync),
) -> Result<SourceRead, StoreError> {
    let (store, cancel) = (source.store.clone(), transfer.cancel.clone());
    let mut reader = match ObjectReader::open(store, source.key(key), start.offset(), pinned, cancel).await {
        Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(SourceRead::Vanished),
        other => other?,
    };
    reader.pace = transfer.pace.clone();
    let head = reader.head().clone();
    let version = SourceVersion::of(source, &head);
    if start.journals.iter().flatten().any(|journal| Some(&journal.source) != version.as_ref()) {
        return Err(source.store.place().error(StoreErrorKind::Changed, format!("read on in {key:?}"), ""));
    }
    let content = Content {
        size: head.size,
        attributes: &head.attributes,
        announced: head.whole_checksum(),
        version: version.as_ref(),
    };
    let copies = fan_out(&mut reader, &content, destinations, start, transfer, sent).await?;
    Ok(SourceRead::Whole(copies.into_iter().map(|proven| proven.map(|proven| copy_of(&head, proven))).collect()))
}

fn copy_of(head: &ObjectHead, Proven { sha256, etag, modified }: Proven) -> Copy {
    Copy {
        entry: StateEntry {
            size: head.size,
            sha256,
            source_etag: head.etag.clone(),
            source_modified: head.modified,
            target_etag: etag,
        },
        modified,
        has_attributes: head.attributes != Attributes::default(),
    }
}
