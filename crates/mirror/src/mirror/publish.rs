//! Names the datasets that are whole now.

use super::content::HeldContent;
use super::manifests::{Published, publish, publish_index};
use super::provenance::Origin;
use super::round::Round;
use super::sweep::{keep_versions, sweep_unpublished};
use super::target::Target;
use super::types::{Dataset, SourcePublication, TargetReport};
use super::versions::Retention;
use crate::dataset::layout::KEPT_MANIFESTS;
use crate::{ManifestDigest, Shard, ShardEntry, ShardIndex, Sharding, StoreError};

/// Publishes the manifest at each target that holds all that the source does, and at the source where that is asked for. Called
/// when every object was seen and what is remembered was kept.
pub(super) async fn publish_everywhere(round: &mut Round<'_>) {
    let Some(dataset) = round.options.dataset.as_ref().filter(|_| !round.options.dry_run) else { return };
    if round.report.source_failures > 0 {
        return sweep_unpublished(round, dataset).await;
    }
    for index in 0..round.targets.len() {
        match publish_at(round, index).await {
            Ok(Some(published)) => {
                let digest = published.digest;
                round.targets[index].report.manifest = Some(digest);
                if let Err(error) = keep_versions(round, (index, dataset), published).await {
                    round.targets[index].give_up(error);
                }
                // What only a part of the dataset has, names none.
                if round.options.sharding.is_some() {
                    continue;
                }
                // Nor what the source does not hold.
                if round.report.manifest.is_none() && dataset.publish_to_source && round.options.transforming.is_none()
                {
                    round.report.source_publication = publish_to_source(round, index, digest).await;
                }
                round.report.manifest.get_or_insert(digest);
            }
            Ok(None) => {}
            Err(error) => round.targets[index].give_up(error),
        }
    }
    sweep_unpublished(round, dataset).await;
    publish_shards(round, dataset).await;
}

/// Says at every target where all parts are, once each has its own, and at the source where that is asked for.
async fn publish_shards(round: &mut Round<'_>, dataset: &Dataset) {
    let Some(index) = round.options.sharding.as_ref().and_then(|sharding| shard_index(sharding, &round.targets)) else {
        return;
    };
    let cancel = &round.shared.transfer.cancel;
    // One can be put together as long as its parts are kept.
    let wanted = round.options.versions.as_ref().map_or(KEPT_MANIFESTS, |versions| versions.newest);
    let kept = wanted.clamp(KEPT_MANIFESTS, Retention::MOST);
    for target in &round.targets {
        if let Err(error) = publish_index(&target.replica, &dataset.name, (&index, kept), cancel).await {
            target.give_up(error);
        }
    }
    if round.targets.iter().any(Target::is_given_up) {
        return;
    }
    round.report.shard_index = Some(index.digest());
    // A source that is cut holds none of what the index names.
    let is_of_source = round.options.transforming.is_none() && !round.naming.cuts();
    if dataset.publish_to_source && is_of_source {
        let source = &round.shared.source;
        let kept = if round.is_target(source) { kept } else { KEPT_MANIFESTS };
        let published = publish_index(source, &dataset.name, (&index, kept), cancel).await;
        round.report.source_publication =
            published.map_or_else(SourcePublication::Failed, |()| SourcePublication::Published);
    }
}

/// `None` as long as a target does not hold its part.
fn shard_index(sharding: &Sharding, targets: &[Target]) -> Option<ShardIndex> {
    let shard = |shard: &Shard| {
        let TargetReport { settled, copied, settled_bytes, copied_bytes, manifest, .. } =
            &targets.get(shard.target?)?.report;
        Some(ShardEntry {
            name: shard.name.clone(),
            weight: shard.weight.get(),
            manifest: (*manifest)?,
            objects: settled + copied,
            bytes: settled_bytes + copied_bytes,
        })
    };
    let shards: Option<_> = sharding.shards.iter().map(shard).collect();
    Some(ShardIndex { by: sharding.by, piece_size: sharding.piece_size, shards: shards? })
}

/// `None` for a target that is behind.
async fn publish_at(round: &mut Round<'_>, index: usize) -> Result<Option<Published>, StoreError> {
    let target = &round.targets[index];
    let (true, Some(dataset)) = (target.holds_all(), &round.options.dataset) else { return Ok(None) };
    let objects = target.report.settled + target.report.copied;
    let Some(state) = target.pages() else { return Ok(None) };
    let (book, pages) = state.written();
    let content = HeldContent { book, pages, objects, transfer: &round.shared.transfer };
    let (source, transform) = (&round.shared.source, round.options.transform().map(|transform| &**transform));
    let origin = Origin { dataset: &dataset.name, source, transform, piece_size: round.options.piece_size() };
    publish(&target.replica, &origin, state.manifest(), &content).await.map(Some)
}

/// From what is remembered of a target that holds all of it.
async fn publish_to_source(round: &Round<'_>, index: usize, digest: ManifestDigest) -> SourcePublication {
    let target = &round.targets[index];
    let (Some(dataset), Some(state)) = (&round.options.dataset, target.pages()) else {
        return SourcePublication::Skipped;
    };
    let (book, pages) = state.written();
    let objects = target.report.settled + target.report.copied;
    let content = HeldContent { book, pages, objects, transfer: &round.shared.transfer };
    let origin = Origin { dataset: &dataset.name, source: &round.shared.source, transform: None, piece_size: None };
    let source = &round.shared.source;
    let published = match publish(source, &origin, Some(digest), &content).await {
        // What lies beside a target's versions stays as long as those.
        Ok(_) if round.is_target(source) && round.options.versions.is_some() => Ok(()),
        Ok(published) => published.remove_oldest(source, &dataset.name).await,
        Err(error) => Err(error),
    };
    published.map_or_else(SourcePublication::Failed, |()| SourcePublication::Published)
}
