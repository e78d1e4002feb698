//! What is proven now: keeps it, names it, publishes it.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;

use super::copy::{Copied, Pass, Target};
use super::types::{MirrorError, MirrorOutcome, SourcePublication, TargetOutcome};
use crate::cancel::cancellable;
use crate::publish::publish;
use crate::removal::remove_all;
use crate::surplus::Removal;
use crate::{DatasetName, Deletion, Manifest, ManifestEntry, Sha256, StoreError, StoreErrorKind, TargetError};

pub(super) async fn finish(
    pass: &Arc<Pass>,
    dataset: &DatasetName,
    mut keys: Vec<String>,
    copied: Copied,
) -> Result<MirrorOutcome, MirrorError> {
    let Copied { mut targets, contents, vanished, source_failures, left, .. } = copied;
    keys.retain(|key| !vanished.contains(key));
    let manifest = manifest_of(&keys, contents, &targets);
    if let Some(manifest) = &manifest {
        for target in &mut targets {
            forget_differing(target, manifest);
        }
    }
    // An object that could not be read is there all the same, but a source that fails is not to be taken at its word.
    if !source_failures.is_empty() {
        for target in &mut targets {
            target.surplus = None;
        }
    }
    let outcomes = join_all(targets.into_iter().map(|target| settle(pass, dataset, manifest.as_ref(), target))).await;
    if pass.transfer.cancel.is_cancelled() {
        return Err(MirrorError::Cancelled);
    }
    let source_publication = publish_to_source(pass, dataset, manifest.as_ref()).await;
    Ok(MirrorOutcome {
        objects: keys.len() as u64,
        bytes: manifest.as_ref().map(Manifest::total_bytes),
        manifest: manifest.as_ref().map(Manifest::digest),
        source_publication,
        source_failures,
        left,
        targets: outcomes,
    })
}

/// The dataset's content, once every object's is known: what was read now counts more than what is remembered.
fn manifest_of(keys: &[String], mut contents: HashMap<String, (u64, Sha256)>, targets: &[Target]) -> Option<Manifest> {
    for (key, entry) in targets.iter().flat_map(|target| &target.state.entries) {
        if let Some(sha256) = entry.sha256 {
            contents.entry(key.clone()).or_insert((entry.size, sha256));
        }
    }
    let entry = |key: &String| {
        let (size, sha256) = *contents.get(key)?;
        Some(ManifestEntry { key: key.clone(), size, sha256 })
    };
    // A listing that names a key twice gives no manifest.
    Manifest::new(keys.iter().map(entry).collect::<Option<_>>()?).ok()
}

/// Objects that changed at the source after they were proven at this target: the next pass copies them.
fn forget_differing(target: &mut Target, manifest: &Manifest) {
    let entries = &mut target.state.entries;
    let current = manifest.entries().iter().filter_map(|wanted| {
        let entry = entries.remove(&wanted.key)?;
        (entry.size == wanted.size && entry.sha256 == Some(wanted.sha256)).then(|| (wanted.key.clone(), entry))
    });
    let current = current.collect();
    target.state.entries = current;
}

/// Keeps the target's state and, when it holds everything, publishes the manifest there, last of all.
async fn settle(pass: &Pass, dataset: &DatasetName, manifest: Option<&Manifest>, mut target: Target) -> TargetOutcome {
    let mut outcome = std::mem::take(&mut target.outcome);
    outcome.verified_objects = target.state.entries.len() as u64;
    outcome.verified_bytes = target.state.entries.values().map(|entry| entry.size).sum();
    outcome.error = target.error().cloned();
    // What the whole bucket refused, it would refuse again; what that forgets is bounded by the checkpoints.
    if target.file.is_some() && target.error().is_none_or(|error| error.kind == StoreErrorKind::Cancelled) {
        match keep_and_publish(pass, dataset, manifest, &mut target).await {
            Ok(Some(digest)) => {
                outcome.manifest = Some(digest);
                remove_surplus(pass, &mut target, &mut outcome).await;
            }
            Ok(None) => {}
            Err(error) => _ = outcome.error.get_or_insert(error),
        }
    }
    outcome
}

/// Called when the target holds all that the source does, and says so.
async fn remove_surplus(pass: &Pass, target: &mut Target, outcome: &mut TargetOutcome) {
    let (Deletion::Surplus(most), Some(surplus)) = (pass.deletion, target.surplus.take()) else { return };
    let objects = match surplus.removal(most) {
        Removal::TooMany { surplus, held } => {
            outcome.removal_error = Some(TargetError::TooManyDeletions { surplus, held });
            return;
        }
        Removal::Remove { objects, left } => {
            outcome.removal_error = (left > 0).then_some(TargetError::MoreToRemove(left));
            objects
        }
    };
    let (at_once, cancel) = (pass.transfer.limits.objects, &pass.transfer.cancel);
    let told = |_, removed| match removed {
        Ok(removed) => outcome.removed_objects += u64::from(removed),
        Err(error) => outcome.removal_error = Some(TargetError::Store(error)),
    };
    remove_all(&pass.source, &target.replica, objects, at_once, cancel, told).await;
}

async fn keep_and_publish(
    pass: &Pass,
    dataset: &DatasetName,
    manifest: Option<&Manifest>,
    target: &mut Target,
) -> Result<Option<crate::ManifestDigest>, StoreError> {
    target.save().await?;
    let complete = manifest.filter(|manifest| manifest.entries().len() == target.state.entries.len());
    let Some(manifest) = complete else { return Ok(None) };
    if let Some(journals) = &target.journals {
        journals.sweep(&pass.transfer.cancel).await;
    }
    let place = target.replica.store.place();
    cancellable(&pass.transfer.cancel, place, publish(&target.replica, dataset, manifest)).await.map(Some)
}

async fn publish_to_source(pass: &Pass, dataset: &DatasetName, manifest: Option<&Manifest>) -> SourcePublication {
    let Some(manifest) = manifest.filter(|_| pass.publish_to_source) else { return SourcePublication::Skipped };
    match publish(&pass.source, dataset, manifest).await {
        Ok(_) => SourcePublication::Published,
        Err(error) => SourcePublication::Failed(error),
    }
}
