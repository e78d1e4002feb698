//! Removes the versions of a dataset that do not stay, and then what was put away for them alone.

use std::collections::{BTreeSet, HashSet};
use std::pin::pin;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::manifests::Published;
use super::round::Round;
use super::target::Target;
use super::types::Dataset;
use super::versions::{Retention, Version, history};
use crate::cancel::cancellable;
use crate::dataset::layout::content_of_key;
use crate::dataset::manifest_reader::ManifestReader;
use crate::state::{Memory, TargetState};
use crate::transfer::Transfer;
use crate::{DatasetName, ManifestDigest, ManifestEntry, Replica, Sha256, StoreError, StoreErrorKind, kept_key, list};

/// Contents that are looked for at once in the manifests that stay: 8 MiB of digests, however many were put away.
const BATCH: usize = 256 * 1024;

/// What a manifest that stays may need to have been put away.
#[derive(Debug, Clone, Copy)]
struct Naming {
    manifest: ManifestDigest,
    /// What it names as this one does lies under its own key.
    newest: Option<ManifestDigest>,
}

/// Removes the versions that do not stay at a target whose newest one was published, and remembers the others. What a stop leaves here
/// half done is done by the next pass: only at the end is it remembered that this version is published.
pub(super) async fn keep_versions(
    round: &mut Round<'_>,
    (index, dataset): (usize, &Dataset),
    published: Published,
) -> Result<(), StoreError> {
    let (digest, name) = (published.digest, &dataset.name);
    let target = &round.targets[index];
    let Some(state) = target.pages() else { return Ok(()) };
    let had_some = state.versions().is_some_and(|versions| !versions.is_empty());
    let retention = round.options.versions.clone();
    let replica = target.replica.clone();
    // Where versions are kept no more, those that were go, with what was put away for them.
    let Some(retention) = retention.or_else(|| had_some.then(Retention::only_the_newest)) else {
        published.remove_oldest(&replica, name).await?;
        return named(round, index, digest, Vec::new()).await;
    };
    let now = retention.now.unwrap_or_else(Timestamp::now);
    let there = published.there(name);
    let history = history(digest, state.versions(), &there, now);
    let stay = retention.stay(&history, now);
    let goes = |digest: &ManifestDigest| !stay.iter().any(|version| version.digest == *digest);
    let is_due = !state.was_named() || target.loses || there.keys().any(goes);
    let targets = &round.targets;
    let others = if is_due { needed_at(targets, |other| is_beside(targets, index, other)) } else { Some(Vec::new()) };
    // What another target needs that lies there too may not be known now: then nothing goes.
    let mut stay = if others.is_some() { stay } else { history };
    let is_wanted = round.options.versions.is_some();
    if is_wanted {
        round.targets[index].report.versions.clone_from(&stay);
    }
    let is_over = others.is_some() && !is_wanted;
    if let Some(others) = others.filter(|_| is_due) {
        let newest = Some(digest);
        let mine = stay.iter().map(|version| Naming { manifest: version.digest, newest });
        let namings = others.into_iter().chain(mine).collect();
        let transfer = &round.shared.transfer;
        let kept = remove_others((&replica, name), (&published, namings), &retention.pinned, transfer).await?;
        stay.retain(|version| kept.contains(&version.digest));
        if is_wanted {
            round.targets[index].report.versions.clone_from(&stay);
        }
    }
    named(round, index, digest, if is_over { Vec::new() } else { stay }).await
}

/// Removes the manifests but these, and then what was put away and none of these needs. Gives those that are left: one of which
/// something was lost goes too, unless it is pinned, and what it names is there still where it is loaded from.
async fn remove_others(
    (replica, dataset): (&Replica, &DatasetName),
    (published, mut namings): (&Published, Vec<Naming>),
    pinned: &BTreeSet<ManifestDigest>,
    transfer: &Transfer,
) -> Result<HashSet<ManifestDigest>, StoreError> {
    loop {
        let kept = namings.iter().map(|naming| naming.manifest).collect();
        published.keep_only(replica, dataset, &kept).await?;
        let mut broken = sweep(replica, dataset, &namings, (transfer.limits.objects, &transfer.cancel)).await?;
        broken.retain(|manifest| !pinned.contains(manifest));
        if broken.is_empty() {
            return Ok(kept);
        }
        let bucket = &replica.store.place().bucket;
        tracing::warn!(?broken, %dataset, %bucket, "versions are not kept of which another has overwritten something");
        namings.retain(|naming| !broken.contains(&naming.manifest));
    }
}

/// Where something was put away that no manifest may name, since nothing was published in between, and nothing is now: a source of
/// which one object cannot be read, and others change again and again, would have more and more put away.
pub(super) async fn sweep_unpublished(round: &Round<'_>, dataset: &Dataset) {
    let transfer = &round.shared.transfer;
    for (index, target) in round.targets.iter().enumerate() {
        let was_named = target.pages().is_none_or(TargetState::was_named);
        if !target.puts_away
            || was_named
            || target.is_set_aside()
            || target.is_given_up()
            || target.report.manifest.is_some()
        {
            continue;
        }
        let Some(namings) =
            needed_at(&round.targets, |other| other == index || is_beside(&round.targets, index, other))
        else {
            continue;
        };
        let bounds = (transfer.limits.objects, &transfer.cancel);
        // Which of them are whole is not known now.
        if let Err(error) = sweep(&target.replica, &dataset.name, &namings, bounds).await {
            tracing::warn!(%error, "what was put away for no version stays until one is published");
        }
    }
}

async fn named(
    round: &mut Round<'_>,
    index: usize,
    digest: ManifestDigest,
    versions: Vec<Version>,
) -> Result<(), StoreError> {
    match round.targets[index].state.as_mut().and_then(Memory::pages_mut) {
        Some(state) => state.name(digest, versions).await,
        None => Ok(()),
    }
}

/// Whether another target lies in the same place.
fn is_beside(targets: &[Target], index: usize, other: usize) -> bool {
    index != other && targets[index].replica.store.place() == targets[other].replica.store.place()
}

/// What these targets need; `None` where that is not known.
fn needed_at(targets: &[Target], is_meant: impl Fn(usize) -> bool) -> Option<Vec<Naming>> {
    let mut namings = Vec::new();
    for (_, target) in targets.iter().enumerate().filter(|(index, _)| is_meant(*index)) {
        let versions = target.pages().and_then(TargetState::versions)?;
        let newest = target.report.manifest;
        let digests: HashSet<_> = versions.iter().map(|version| version.digest).chain(newest).collect();
        namings.extend(digests.into_iter().map(|manifest| Naming { manifest, newest }));
    }
    Some(namings)
}

impl Round<'_> {
    /// Whether what is Skyfleet's own there is that of a target too.
    pub(super) fn is_target(&self, replica: &Replica) -> bool {
        self.targets.iter().any(|target| target.replica.store.place() == replica.store.place())
    }
}

/// Removes the contents that were put away and that none of these manifests needs, and gives the manifests that need some which are not
/// there, as far as one look at all contents tells. A manifest that cannot be read to its end is an error: nothing is removed on what it may have named.
async fn sweep(
    replica: &Replica,
    dataset: &DatasetName,
    namings: &[Naming],
    (at_once, cancel): (usize, &CancellationToken),
) -> Result<Vec<ManifestDigest>, StoreError> {
    let (folder, place) = (dataset.kept_folder(), replica.store.place());
    let kept = list(&*replica.store, &folder)
        .try_filter_map(|object| std::future::ready(Ok(content_of_key(dataset, &object.key))));
    let mut batches = pin!(kept.try_chunks(BATCH));
    // What the newest one names lies under its own keys.
    let older = namings.iter().filter(|naming| naming.newest != Some(naming.manifest));
    let mut older: Vec<_> = older.map(|naming| (*naming, None)).collect();
    let mut batches_read = 0;
    loop {
        let next = async { batches.try_next().await.map_err(|error| error.1) };
        let mut batch = match cancellable(cancel, place, next).await? {
            Some(batch) => batch,
            // Nothing was put away: what is needed is lost.
            None if batches_read == 0 => Vec::new(),
            None => break,
        };
        batches_read += 1;
        batch.sort_unstable();
        let mut needed = vec![false; batch.len()];
        for (naming, missing) in &mut older {
            *missing = mark((replica, dataset), *naming, (&batch, &mut needed), cancel).await?;
        }
        let mut needed = needed.into_iter();
        batch.retain(|_| !needed.next().unwrap_or(true));
        let mut removals = stream::iter(batch)
            .map(|content| async move {
                let key = kept_key(dataset, content);
                cancellable(cancel, place, replica.store.delete(&key)).await
            })
            .buffer_unordered(at_once.max(1));
        while let Some(removed) = removals.next().await {
            removed?;
        }
    }
    let mut broken = Vec::new();
    // Of one that is compared with nothing it is not known what lies under its keys.
    for (Naming { manifest, .. }, missing) in older.into_iter().filter(|(naming, _)| naming.newest.is_some()) {
        if let Some(content) = missing.filter(|_| batches_read == 1)
            && is_lost(replica, &kept_key(dataset, content), cancel).await?
        {
            broken.push(manifest);
        }
    }
    Ok(broken)
}

/// The last look at what a listing did not show.
async fn is_lost(replica: &Replica, key: &str, cancel: &CancellationToken) -> Result<bool, StoreError> {
    match cancellable(cancel, replica.store.place(), replica.store.head(key)).await {
        Ok(_) => Ok(false),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Marks what a manifest names and the newest one does not name so; gives the first of it that is not among these contents.
async fn mark(
    (replica, dataset): (&Replica, &DatasetName),
    Naming { manifest, newest }: Naming,
    (contents, needed): (&[Sha256], &mut [bool]),
    cancel: &CancellationToken,
) -> Result<Option<Sha256>, StoreError> {
    let mut missing = None;
    let mut older = ManifestReader::open(replica, dataset, manifest, cancel).await?;
    let mut newest = match newest {
        Some(newest) => Some(Beside::open(ManifestReader::open(replica, dataset, newest, cancel).await?).await?),
        None => None,
    };
    while let Some(entry) = older.next().await? {
        let is_held = match &mut newest {
            Some(newest) => newest.names(&entry).await?,
            None => false,
        };
        if is_held {
            continue;
        }
        match contents.binary_search(&entry.sha256) {
            Ok(place) => needed[place] = true,
            Err(_) => _ = missing.get_or_insert(entry.sha256),
        }
    }
    // What it was compared with was that only if it is whole.
    if let Some(newest) = newest {
        newest.end().await?;
    }
    Ok(missing)
}

/// A manifest that is read beside another.
struct Beside {
    reader: ManifestReader,
    next: Option<ManifestEntry>,
}

impl Beside {
    async fn open(mut reader: ManifestReader) -> Result<Self, StoreError> {
        let next = reader.next().await?;
        Ok(Self { reader, next })
    }

    /// Whether it names the same content by the same key. To be asked in the order of keys.
    async fn names(&mut self, entry: &ManifestEntry) -> Result<bool, StoreError> {
        while self.next.as_ref().is_some_and(|next| next.key < entry.key) {
            self.next = self.reader.next().await?;
        }
        Ok(self.next.as_ref() == Some(entry))
    }

    async fn end(mut self) -> Result<(), StoreError> {
        while self.next.is_some() {
            self.next = self.reader.next().await?;
        }
        Ok(())
    }
}
