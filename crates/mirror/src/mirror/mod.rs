//! One pass of a mirror: list, plan, copy, prove, remember, publish.

mod copy;
mod finish;
mod types;

use std::collections::HashSet;
use std::sync::Arc;

use futures::TryStreamExt as _;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::cancel::cancellable;
use crate::journal::Journals;
use crate::layout::is_reserved;
use crate::overlap::overlapping;
use crate::publish::{StateFile, source_identity};
use crate::surplus::Surplus;
use crate::{DatasetName, Deletion, ObjectSummary, StoreError, TargetView, list, plan_copies};

use copy::{Pass, Target};
pub use types::{
    MirrorError, MirrorEvent, MirrorOptions, MirrorOutcome, ObjectFailure, ProgressSink, Replica, SourcePublication,
    TargetOutcome,
};

/// Brings every target up to date with the source, once.
///
/// What it guarantees:
/// - An object is read once however many targets need it, and never held whole in memory (see [`crate::TransferLimits`]).
/// - A target's manifest is published after every object of it was proven at that target, and after its state was kept.
/// - A pass that finds nothing to do writes to no bucket.
/// - A target that fails, fails alone; a failed page of a listing is never the end of it.
/// - Objects of a target that the source lacks stay, outside the manifest, unless their removal is asked for: then they go once the
///   target's manifest without them is published, the listings of both sides having ended whole, each after a last look.
/// - Keys below `.skyfleet/` are neither copied nor removed.
///
/// What it assumes: one pass at a time writes to a target, and nobody else writes below its prefix.
///
/// Drop it only when the process ends: stop it by `cancel`, which ends it soon, removes the parts of unfinished uploads
/// and keeps the state of what was copied.
///
/// # Errors
/// When the source cannot be listed, two of the copies overlap, or on cancellation. What fails at a target is in the outcome.
pub async fn mirror(
    dataset: &DatasetName,
    source: &Replica,
    targets: &[Replica],
    options: &MirrorOptions,
    cancel: &CancellationToken,
    progress: ProgressSink,
) -> Result<MirrorOutcome, MirrorError> {
    if let Some((one, other)) = overlapping(source, targets) {
        return Err(MirrorError::Overlap(one, other));
    }
    let objects = list_source(source, options, cancel).await.map_err(MirrorError::of_source)?;
    let views = join_all(targets.iter().map(|target| look_at(dataset, source, target, cancel))).await;
    let (looks, views): (Vec<_>, Vec<_>) = views.into_iter().map(split).unzip();
    let keys: Vec<_> = objects.iter().map(|object| object.key.clone()).collect();
    let surplus: Vec<_> =
        targets.iter().zip(&views).map(|(target, view)| surplus(target, view.as_ref(), &keys, options)).collect();
    let plan = plan_copies(objects, &views);
    drop(views);
    let targets = targets.iter().zip(looks).zip(plan.settled).zip(surplus);
    let targets = targets.map(|(((replica, look), state), surplus)| Target::new(replica.clone(), look, state, surplus));
    let targets = targets.collect();
    let pass = Arc::new(Pass::new(source.clone(), options, cancel.clone(), progress));
    let copied = copy::run(&pass, targets, plan.copies).await;
    finish::finish(&pass, dataset, keys, copied).await
}

async fn list_source(
    source: &Replica,
    options: &MirrorOptions,
    cancel: &CancellationToken,
) -> Result<Vec<ObjectSummary>, StoreError> {
    let mut objects = Vec::new();
    let listing = async {
        let mut listing = std::pin::pin!(list(&*source.store, &source.prefix));
        while let Some(object) = listing.try_next().await? {
            let key = &object.key[source.prefix.len()..];
            if !is_reserved(&object.key) && !key.is_empty() && options.filter.keeps(key) {
                objects.push(ObjectSummary { key: key.to_owned(), ..object });
            }
        }
        Ok(())
    };
    cancellable(cancel, source.store.place(), listing).await?;
    Ok(objects)
}

/// What a target holds of the dataset that the source does not; nothing where that may stay.
fn surplus(target: &Replica, view: Option<&TargetView>, keys: &[String], options: &MirrorOptions) -> Option<Surplus> {
    let (Deletion::Surplus(_), Some(view)) = (options.deletion, view) else { return None };
    let mut surplus = Surplus::default();
    let keys: HashSet<&str> = keys.iter().map(String::as_str).collect();
    let is_left_alone = |key: &str| is_reserved(&target.key(key)) || key.is_empty() || !options.filter.keeps(key);
    for (key, (_, etag)) in view.listing.iter().filter(|(key, _)| !is_left_alone(key)) {
        if keys.contains(key.as_str()) { surplus.shared() } else { surplus.add(key.clone(), etag.clone()) }
    }
    Some(surplus)
}

/// What a target holds and what is remembered of it.
async fn look_at(
    dataset: &DatasetName,
    source: &Replica,
    target: &Replica,
    cancel: &CancellationToken,
) -> Result<((StateFile, Option<Journals>), TargetView), StoreError> {
    let (file, state) =
        StateFile::load(target, dataset.state_key(&target.prefix), source_identity(source), cancel).await?;
    let listing = list(&*target.store, &target.prefix)
        .map_ok(|object| (object.key[target.prefix.len()..].to_owned(), (object.size, object.etag)))
        .try_collect();
    let listing = cancellable(cancel, target.store.place(), listing).await?;
    let journals = Journals::load(target, cancel).await;
    Ok(((file, journals), TargetView { listing, state }))
}

fn split<T>(look: Result<(T, TargetView), StoreError>) -> (Result<T, StoreError>, Option<TargetView>) {
    match look {
        Ok((looked_at, view)) => (Ok(looked_at), Some(view)),
        Err(error) => (Err(error), None),
    }
}
