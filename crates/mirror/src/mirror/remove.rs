//! Removes what the source does not have, or another target holds now, where that is asked for, each object after a last look at
//! both sides.

use std::collections::HashSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::naming::Naming;
use super::round::{Round, Scope};
use super::surplus::{Removal, Surplus, SurplusObject};
use super::target::Target;
use super::types::{Deletion, MirrorEvent, TargetError};
use crate::cancel::cancellable;
use crate::{ObjectFailure, ObjectHead, Replica, StoreError, StoreErrorKind};

/// Called only when the listings of the source and of every target that is not given up have ended whole.
pub(super) async fn remove_surplus(round: &mut Round<'_>) {
    let (shared, naming) = (round.shared.clone(), round.naming.clone());
    let lacks_pieces = lacks_pieces(round);
    let (options, is_dry) = (round.options, round.options.dry_run);
    let incomplete = round.report.source_failures > 0;
    let replicas: Vec<_> = round.targets.iter().map(|target| target.replica.clone()).collect();
    // Of a dataset that moved, the last copy goes when the manifest that names the new one is there.
    let is_named = |target: &Target| is_dry || round.options.dataset.is_none() || target.report.manifest.is_some();
    // One that changes all the time is named when all of it is looked at again.
    let is_whole_dataset = options.dataset.is_some() && !is_dry && round.scope == Scope::All;
    let is_whole: Vec<_> = round.targets.iter().map(|target| target.holds_all() && is_named(target)).collect();
    for (index, target) in round.targets.iter_mut().enumerate() {
        (target.report.surplus, target.report.moved) = (target.surplus.count(), target.surplus.moved());
        let Deletion::Surplus(most) = round.options.deletion else { continue };
        // A dataset loses what it had once its manifest without that is there.
        let is_early = is_whole_dataset && target.report.manifest.is_none();
        if incomplete || is_early || lacks_pieces || target.is_given_up() || !target.report.lacks_nothing() {
            continue;
        }
        let (at_once, cancel) = (shared.transfer.limits.objects, &shared.transfer.cancel);
        if naming.cuts() {
            let replaced = replaced(&shared.source, &naming, &target.surplus, at_once, cancel).await;
            target.surplus.spare(replaced);
        }
        let objects = match std::mem::take(&mut target.surplus).removal(most) {
            Removal::Remove { objects, left } => {
                target.report.error = (left > 0).then_some(TargetError::MoreToRemove(left));
                objects
                    .into_iter()
                    .filter(|object| object.moved_to.is_none_or(|other| is_whole[other]))
                    .collect::<Vec<_>>()
            }
            Removal::TooMany { surplus, held } => {
                target.report.error = Some(TargetError::TooManyDeletions { surplus, held });
                continue;
            }
        };
        if is_dry {
            target.report.removed += objects.len() as u64;
            for SurplusObject { key, .. } in objects {
                (shared.progress)(MirrorEvent::Removed { target: index, key });
            }
            continue;
        }
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
        let sides = |object: &SurplusObject| Sides {
            target: replicas[index].clone(),
            instead: object.moved_to.map(|other| replicas[other].clone()),
            source: shared.source.clone(),
            source_keys: options.sources_of(&object.key),
            naming: naming.clone(),
            dead_letters: shared
                .making
                .as_ref()
                .and_then(|making| making.dead_letters_of(&replicas[index].key(&object.key))),
        };
        let objects = objects.into_iter().map(|object| (sides(&object), object)).collect();
        remove_all(objects, at_once, cancel, told).await;
    }
}

/// Whether old pieces have to stay: of an object that is cut anew they are all there is, until all new ones are there and the index
/// of a dataset names them.
fn lacks_pieces(round: &Round<'_>) -> bool {
    let is_there = match round.options.dataset {
        Some(_) => round.report.shard_index.is_some(),
        None => round.targets.iter().all(Target::holds_all),
    };
    round.naming.cuts() && !round.options.dry_run && !is_there
}

/// Where an object is looked at before it is removed.
struct Sides {
    target: Replica,
    source: Replica,
    /// What it may be made of there, and what says whether it is.
    source_keys: Vec<String>,
    naming: Arc<Naming>,
    /// Where records lie that would have become a part of it.
    dead_letters: Option<String>,
    /// The target that holds it now.
    instead: Option<Replica>,
}

/// Removes these objects, so many at once. `told` hears how each went: `false` when it is at the source by now, or not where it moved to,
/// or the target's is another one than was listed.
///
/// To be called only when the listings of all sides have ended whole.
async fn remove_all(
    objects: Vec<(Sides, SurplusObject)>,
    at_once: usize,
    cancel: &CancellationToken,
    mut told: impl FnMut(String, Result<bool, StoreError>),
) {
    let mut removals = stream::iter(objects)
        .map(|(sides, object)| async move { (remove(&sides, &object, cancel).await, object.key) })
        .buffer_unordered(at_once.max(1));
    while let Some((removed, key)) = removals.next().await {
        told(key, removed);
    }
}

async fn remove(sides: &Sides, object: &SurplusObject, cancel: &CancellationToken) -> Result<bool, StoreError> {
    let (Sides { target, instead, .. }, SurplusObject { key, etag, .. }) = (sides, object);
    let is_surplus = match instead {
        Some(instead) => look(instead, key, cancel).await?.is_some(),
        None => is_gone(sides, key, cancel).await?,
    };
    if !is_surplus || look(target, key, cancel).await?.is_none_or(|now| now.etag != *etag) {
        return Ok(false);
    }
    for held in [Some(target.key(key)), sides.dead_letters.clone()].into_iter().flatten() {
        cancellable(cancel, target.store.place(), target.store.delete(&held)).await?;
    }
    Ok(true)
}

/// Whether the source has nothing that it would come from.
async fn is_gone(sides: &Sides, key: &str, cancel: &CancellationToken) -> Result<bool, StoreError> {
    for source_key in &sides.source_keys {
        let there = look(&sides.source, source_key, cancel).await?;
        if there.is_some_and(|head| sides.naming.becomes(source_key, head.size, key)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How many of a target's objects are of ones that the source has still, which are cut into other pieces by now: they are no loss.
async fn replaced(
    source: &Replica,
    naming: &Naming,
    surplus: &Surplus,
    at_once: usize,
    cancel: &CancellationToken,
) -> u64 {
    let wholes: HashSet<_> = surplus.lost().flat_map(|key| naming.cut_of(key)).collect();
    let looks = stream::iter(wholes).map(|key| async move {
        // Of one that cannot be looked at it counts as a loss: then less is removed.
        let there = look(source, &key, cancel).await.ok().flatten();
        there.map(|_| key)
    });
    let there: HashSet<_> = looks.buffer_unordered(at_once.max(1)).filter_map(async |key| key).collect().await;
    let is_replaced = |key: &&str| naming.cut_of(key).iter().any(|whole| there.contains(whole));
    surplus.lost().filter(is_replaced).count() as u64
}

/// What is there now.
async fn look(replica: &Replica, key: &str, cancel: &CancellationToken) -> Result<Option<ObjectHead>, StoreError> {
    let key = replica.key(key);
    match cancellable(cancel, replica.store.place(), replica.store.head(&key)).await {
        Ok(head) => Ok(Some(head)),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
