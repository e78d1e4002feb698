//! Removes what the source does not have, each object after a last look at both sides.

use futures::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::deletion::Removal;
use super::round::{Round, Shared};
use super::types::{Deletion, SyncEvent, TargetError};
use crate::cancel::cancellable;
use crate::{ObjectFailure, Replica, StoreError, StoreErrorKind};

/// Called only when the listings of the source and of every target that is not given up have ended whole.
pub(super) async fn remove_surplus(round: &mut Round<'_>) {
    let shared = round.shared.clone();
    let incomplete = round.report.source_failures > 0;
    for (index, target) in round.targets.iter_mut().enumerate() {
        target.report.surplus = target.surplus.count();
        let Deletion::Surplus(most) = round.options.deletion else { continue };
        if incomplete || target.is_given_up() || !target.report.left.is_nothing() {
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
        if round.options.dry_run {
            target.report.removed += objects.len() as u64;
            for (key, _) in objects {
                (shared.progress)(SyncEvent::Removed { target: index, key });
            }
            continue;
        }
        let replica = target.replica.clone();
        let mut removals = stream::iter(objects)
            .map(|(key, etag)| {
                let (shared, replica) = (&shared, &replica);
                async move { (remove(shared, replica, &key, &etag).await, key) }
            })
            .buffer_unordered(shared.transfer.limits.objects.max(1));
        while let Some((removed, key)) = removals.next().await {
            match removed {
                Ok(false) => {}
                Ok(true) => {
                    target.report.removed += 1;
                    target.memory.entries.remove(&key);
                    (shared.progress)(SyncEvent::Removed { target: index, key });
                }
                Err(error) => {
                    target.failed(&error);
                    let failure = ObjectFailure { key, error };
                    (shared.progress)(SyncEvent::Failed { target: Some(index), failure });
                }
            }
        }
    }
}

/// Removes one object; `false` when the source has it by now, or the target's is another one than was listed.
async fn remove(shared: &Shared, target: &Replica, key: &str, etag: &str) -> Result<bool, StoreError> {
    let cancel = &shared.transfer.cancel;
    let source = &shared.source;
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
