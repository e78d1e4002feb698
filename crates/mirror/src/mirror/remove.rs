//! Removes what the source does not have, where that is asked for, each object after a last look at both sides.

use futures::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::round::Round;
use super::surplus::Removal;
use super::types::{Deletion, MirrorEvent, TargetError};
use crate::cancel::cancellable;
use crate::{ObjectFailure, Replica, StoreError, StoreErrorKind};

/// Called only when the listings of the source and of every target that is not given up have ended whole.
pub(super) async fn remove_surplus(round: &mut Round<'_>) {
    let shared = round.shared.clone();
    let is_dry = round.options.dry_run;
    let incomplete = round.report.source_failures > 0;
    for (index, target) in round.targets.iter_mut().enumerate() {
        target.report.surplus = target.surplus.count();
        let Deletion::Surplus(most) = round.options.deletion else { continue };
        // A dataset loses what it had once its manifest without that is there.
        let is_early = round.options.dataset.is_some() && !is_dry && target.report.manifest.is_none();
        if incomplete || is_early || target.is_given_up() || !target.report.left.is_nothing() {
            continue;
        }
        let objects = match std::mem::take(&mut target.surplus).removal(most) {
            Removal::Remove { objects, left } => {
                target.report.error = (left > 0).then_some(TargetError::MoreToRemove(left));
                objects
            }
            Removal::TooMany { surplus, held } => {
                target.report.error = Some(TargetError::TooManyDeletions { surplus, held });
                continue;
            }
        };
        if is_dry {
            target.report.removed += objects.len() as u64;
            for (key, _) in objects {
                (shared.progress)(MirrorEvent::Removed { target: index, key });
            }
            continue;
        }
        let replica = target.replica.clone();
        let (at_once, cancel) = (shared.transfer.limits.objects, &shared.transfer.cancel);
        let told = |key: String, removed: Result<bool, StoreError>| match removed {
            Ok(false) => {}
            Ok(true) => {
                target.report.removed += 1;
                (shared.progress)(MirrorEvent::Removed { target: index, key });
            }
            Err(error) => {
                let failure = ObjectFailure { key, error };
                target.failed(failure.clone());
                (shared.progress)(MirrorEvent::Failed { target: Some(index), failure });
            }
        };
        remove_all(&shared.source, &replica, objects, at_once, cancel, told).await;
    }
}

/// Removes these objects (keys and versions) from a target, so many at once. `told` hears how each went: `false` when the source has
/// it by now, or the target's is another one than was listed.
///
/// To be called only when the listings of both have ended whole.
async fn remove_all(
    source: &Replica,
    target: &Replica,
    objects: Vec<(String, String)>,
    at_once: usize,
    cancel: &CancellationToken,
    mut told: impl FnMut(String, Result<bool, StoreError>),
) {
    let mut removals = stream::iter(objects)
        .map(|(key, etag)| async move { (remove(source, target, &key, &etag, cancel).await, key) })
        .buffer_unordered(at_once.max(1));
    while let Some((removed, key)) = removals.next().await {
        told(key, removed);
    }
}

async fn remove(
    source: &Replica,
    target: &Replica,
    key: &str,
    etag: &str,
    cancel: &CancellationToken,
) -> Result<bool, StoreError> {
    if version(source, key, cancel).await?.is_some() {
        return Ok(false);
    }
    let held = target.key(key);
    match version(target, key, cancel).await? {
        Some(now) if now == etag => {}
        _ => return Ok(false),
    }
    cancellable(cancel, target.store.place(), target.store.delete(&held)).await.map(|()| true)
}

/// What names the version of an object that is there now.
async fn version(replica: &Replica, key: &str, cancel: &CancellationToken) -> Result<Option<String>, StoreError> {
    let key = replica.key(key);
    match cancellable(cancel, replica.store.place(), replica.store.head(&key)).await {
        Ok(head) => Ok(Some(head.etag)),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
