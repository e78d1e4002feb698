//! Removes objects that the source does not have, each after a last look at both sides.

use futures::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::cancel::cancellable;
use crate::{Replica, StoreError, StoreErrorKind};

/// Removes these objects (keys and versions) from a target, so many at once. `told` hears how each went: `false` when the source has
/// it by now, or the target's is another one than was listed.
///
/// To be called only when the listings of both have ended whole.
pub(crate) async fn remove_all(
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
