//! One attempt at a copy: from where earlier ones have come, if the object is still the same.

use std::borrow::Cow;

use futures::future::join_all;

use super::destination::{Destination, part_limits};
use super::fan_out::{Content, Proven, Start, fan_out};
use super::journal::{Journal, SourceVersion};
use super::parallel_reader::{ParallelReader, Unread};
use super::source_tags::SourceTags;
use super::{Copy, Size, SourceRead, Transfer};
use crate::cancel::cancellable;
use crate::content::{Hashing, Wanted};
use crate::state::StateEntry;
use crate::{Attributes, Checksum, ObjectHead, ObjectSummary, Replica, RetryClass, StoreError, StoreErrorKind};

/// Copies it once, and goes on where earlier passes were stopped. What a target cannot go on with is copied anew, to it alone.
pub(super) async fn copy_once(
    source: &Replica,
    object: &ObjectSummary,
    destinations: &[Destination],
    transfer: &Transfer,
    sent: &(impl Fn(usize, u64) + Sync),
) -> Result<SourceRead, StoreError> {
    let journals = join_all(destinations.iter().map(journal_of)).await;
    let (start, pinned) = match begin(source, &object.key, destinations, journals, transfer).await {
        Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(SourceRead::Vanished),
        other => other?,
    };
    let resumed: Vec<_> = start.journals.iter().map(Option::is_some).collect();
    let from = From { start, pinned, may_be_told: true };
    let Some(Copied { copies, is_told }) = copy_from(source, object, destinations, from, transfer, sent).await? else {
        return Ok(SourceRead::Vanished);
    };
    // A store may have thrown away what the journal names.
    let mut outcomes = Vec::with_capacity(copies.len());
    for (index, (copy, resumed)) in copies.into_iter().zip(resumed).enumerate() {
        let destination = &destinations[index];
        let outcome = match copy {
            Err(error) if !may_go_on(&error, resumed) || is_another_content(&error, source) => {
                discard(destination, transfer).await;
                // What another has written is there still when it is begun anew.
                let may_resume = resumed && error.kind != StoreErrorKind::Changed;
                // Computed, the checksums show at which side it is, and each part is refused by itself.
                let was_told = is_told && error.kind == StoreErrorKind::Corrupt;
                if may_resume || was_told || is_another_content(&error, source) {
                    tracing::info!(%error, "an upload cannot be gone on with: copying the object anew");
                    let sent = |_, bytes| sent(index, bytes);
                    let only = std::slice::from_ref(destination);
                    let afresh = From { start: Start::afresh(1), pinned: None, may_be_told: false };
                    match copy_from(source, object, only, afresh, transfer, &sent).await? {
                        Some(Copied { mut copies, .. }) => copies.pop().unwrap_or(Err(error)),
                        None => return Ok(SourceRead::Vanished),
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

async fn journal_of(destination: &Destination) -> Option<Journal> {
    destination.journals.as_ref()?.of(&destination.key, &destination.stop.cancel).await
}

pub(super) async fn discard(destination: &Destination, transfer: &Transfer) {
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
    let version = SourceVersion::of(source, &head);
    let sizes = transfer.limits.parts_of(head.size, part_limits(destinations));
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

/// Where a copy begins, and how.
struct From {
    start: Start,
    /// The version to be read.
    pinned: Option<String>,
    /// Whether stores may be relied on for the digests.
    may_be_told: bool,
}

struct Copied {
    /// How each target went, in order.
    copies: Vec<Result<Copy, StoreError>>,
    is_told: bool,
}

/// `None` of an object that is gone.
async fn copy_from(
    source: &Replica,
    object: &ObjectSummary,
    destinations: &[Destination],
    From { start, pinned, may_be_told }: From,
    transfer: &Transfer,
    sent: &(impl Fn(usize, u64) + Sync),
) -> Result<Option<Copied>, StoreError> {
    let (key, size, store) = (&object.key, object.size, source.store.clone());
    let unread = Unread { store, key: source.key(key), from: start.offset(), size };
    let reader =
        match ParallelReader::open(unread, pinned.as_deref(), transfer.room_ahead(), transfer.cancel.clone()).await {
            Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(None),
            other => other?,
        };
    let mut reader = reader.paced(transfer.pace.clone());
    let head = reader.head().clone();
    let version = SourceVersion::of(source, &head);
    if start.journals.iter().flatten().any(|journal| Some(&journal.source) != version.as_ref()) {
        return Err(source.store.place().error(StoreErrorKind::Changed, format!("read on in {key:?}"), ""));
    }
    let tags = match SourceTags::of(source, key, &head, transfer).await {
        Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let attributes = match &tags {
        SourceTags::Read(tags) if !tags.is_empty() => {
            Cow::Owned(Attributes { tags: tags.clone(), ..head.attributes.clone() })
        }
        _ => Cow::Borrowed(&head.attributes),
    };
    let is_told = may_be_told && start.is_afresh() && can_be_told(&head, destinations, transfer).await;
    let content = Content {
        size: Size::Known(head.size),
        attributes: &attributes,
        announced: head.whole_checksum(),
        is_told,
        version: version.as_ref(),
    };
    let copies = fan_out(&mut reader, &content, destinations, start, transfer, sent).await?;
    let copy = |proven: Proven| copy_of(&head, tags.clone(), proven);
    Ok(Some(Copied { copies: copies.into_iter().map(|proven| proven.map(copy)).collect(), is_told }))
}

/// Whether the stores tell enough of an object in parts that nothing has to be computed of it.
async fn can_be_told(head: &ObjectHead, destinations: &[Destination], transfer: &Transfer) -> bool {
    let is_announced = matches!(head.whole_checksum(), Some(Checksum::Crc64Nvme(_)));
    let is_in_parts = transfer.limits.parts_of(head.size, part_limits(destinations)).len() > 1;
    if !is_announced || !is_in_parts || transfer.sha256 || transfer.keeps_parts {
        return false;
    }
    let asked = destinations.iter().map(|destination| destination.store.tells_checksums_of_parts());
    !join_all(asked).await.contains(&false)
}

fn copy_of(head: &ObjectHead, tags: SourceTags, Proven { sha256, etag, modified }: Proven) -> Copy {
    Copy {
        entry: StateEntry {
            size: head.size,
            sha256,
            source_etag: head.etag.clone(),
            source_modified: head.modified,
            target_etag: etag,
            made: None,
        },
        modified,
        has_attributes: head.attributes != Attributes::default(),
        tags,
        by_store: false,
    }
}
