//! Puts manifests beside the data.

use std::collections::HashSet;

use bytes::Bytes;
use futures::TryStreamExt as _;
use tokio_util::sync::CancellationToken;

use super::content::{HeldContent, Objects};
use super::provenance::{Origin, remove_provenance, write_provenance};
use crate::cancel::cancellable;
use crate::dataset::document::{jsonl, write_document};
use crate::dataset::layout::{KEPT_MANIFESTS, manifest_of_key, provenance_of_key};
use crate::transfer::reader::ChunkReader;
use crate::transfer::{Content, Destination, Size, Start, Transfer, fan_out};
use crate::{
    Condition, DatasetName, ManifestDigest, ObjectSummary, Replica, ShardIndex, StoreError, list, manifest_key,
    provenance_key, shard_index_key,
};

/// Puts a manifest beside the data unless it is there, after what tells where its objects came from, and removes the oldest of
/// both beyond the kept number. `known` is its digest, where that was told before: then what lies there is of this very content.
pub(super) async fn publish(
    replica: &Replica,
    origin: &Origin<'_>,
    known: Option<ManifestDigest>,
    content: &HeldContent<'_>,
) -> Result<ManifestDigest, StoreError> {
    let (dataset, cancel) = (origin.dataset, &content.transfer.cancel);
    let mut there = objects_below(replica, &dataset.folder(), cancel).await?;
    there.retain(|object| manifest_of_key(dataset, &object.key).is_some());
    let mut beside = objects_below(replica, &dataset.provenance_folder(), cancel).await?;
    beside.retain(|object| provenance_of_key(dataset, &object.key).is_some());
    let has = |objects: &[ObjectSummary], key: &str| objects.iter().any(|object| object.key == key);
    let is_whole = |digest: &ManifestDigest| {
        has(&there, &manifest_key(dataset, *digest)) && has(&beside, &provenance_key(dataset, *digest))
    };
    if let Some(digest) = known.filter(is_whole) {
        return Ok(digest);
    }
    let measured = content.measure().await?;
    let digest = measured.digest;
    // Anew also where some lies there: the same bytes may have been made of something else.
    write_provenance(replica, origin, &measured, content).await?;
    let key = manifest_key(dataset, digest);
    if has(&there, &key) {
        return Ok(digest);
    }
    write_streamed(replica, &key, Size::Known(measured.size), &mut ManifestReader(content.read()), content.transfer)
        .await?;
    let mut kept: HashSet<_> = remove_oldest(replica, there).await?;
    kept.insert(key);
    remove_provenance(replica, dataset, beside, &kept).await?;
    Ok(digest)
}

/// Puts a shard index beside the data unless it is there, and removes the oldest beyond the kept number.
pub(super) async fn publish_index(
    replica: &Replica,
    dataset: &DatasetName,
    index: &ShardIndex,
    cancel: &CancellationToken,
) -> Result<(), StoreError> {
    let key = shard_index_key(dataset, index.digest());
    let there = objects_below(replica, &dataset.shards_folder(), cancel).await?;
    if there.iter().any(|object| object.key == key) {
        return Ok(());
    }
    write_document(replica, &key, index.to_bytes()).await?;
    remove_oldest(replica, there).await.map(drop)
}

async fn objects_below(
    replica: &Replica,
    folder: &str,
    cancel: &CancellationToken,
) -> Result<Vec<ObjectSummary>, StoreError> {
    let listing = list(&*replica.store, folder).try_collect();
    cancellable(cancel, replica.store.place(), listing).await
}

/// Removes the oldest of those that were there before a new one came, and gives the keys of the others.
async fn remove_oldest(replica: &Replica, mut there: Vec<ObjectSummary>) -> Result<HashSet<String>, StoreError> {
    there.sort_unstable_by_key(|object| std::cmp::Reverse(object.modified));
    for old in there.drain(there.len().min(KEPT_MANIFESTS - 1)..) {
        replica.store.delete(&old.key).await?;
    }
    Ok(there.into_iter().map(|object| object.key).collect())
}

/// Writes an object of Skyfleet's own that may be too large to be held.
pub(super) async fn write_streamed(
    replica: &Replica,
    key: &str,
    size: Size,
    reader: &mut impl ChunkReader<Error = StoreError>,
    transfer: &Transfer,
) -> Result<(), StoreError> {
    let attributes = jsonl();
    let content = Content::new(size, &attributes);
    let (store, key) = (replica.store.clone(), key.to_owned());
    let destination = Destination { store, key, condition: Condition::Any, journals: None };
    let sent = |_, _| ();
    let written = fan_out(reader, &content, &[destination], Start::afresh(1), transfer, sent).await?;
    written.into_iter().try_for_each(|written| written.map(|_| ()))
}

/// Gives the canonical bytes of a manifest.
pub(super) struct ManifestReader<'a>(pub(super) Objects<'a>);

impl ChunkReader for ManifestReader<'_> {
    type Error = StoreError;

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        let Some(objects) = self.0.next().await? else { return Ok(None) };
        let mut lines = Vec::new();
        for (entry, _) in &objects {
            entry.write_to(&mut lines);
        }
        Ok(Some(lines.into()))
    }
}
