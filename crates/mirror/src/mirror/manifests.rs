//! Puts manifests beside the data.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::content::{HeldContent, Objects};
use super::provenance::{Origin, remove_provenance, write_provenance};
use crate::cancel::cancellable;
use crate::dataset::document::{jsonl, write_document};
use crate::dataset::layout::{KEPT_MANIFESTS, manifest_of_key, provenance_of_key};
use crate::transfer::reader::ChunkReader;
use crate::transfer::{Content, Destination, Size, Start, Stop, Transfer, fan_out};
use crate::{
    Condition, DatasetName, ManifestDigest, ObjectSummary, Replica, ShardIndex, StoreError, list, manifest_key,
    provenance_key, shard_index_key,
};

/// A manifest that is there, and what lies beside it.
pub(super) struct Published {
    pub(super) digest: ManifestDigest,
    /// Whether its manifest was not there before.
    is_new: bool,
    /// The manifests that were there.
    there: Vec<ObjectSummary>,
    /// What told where those came from.
    beside: Vec<ObjectSummary>,
}

/// Puts a manifest beside the data unless it is there, after what tells where its objects came from. `known` is its digest, where
/// that was told before: then what lies there is of this very content.
pub(super) async fn publish(
    replica: &Replica,
    origin: &Origin<'_>,
    known: Option<ManifestDigest>,
    content: &HeldContent<'_>,
) -> Result<Published, StoreError> {
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
        return Ok(Published { digest, is_new: false, there, beside });
    }
    let measured = content.measure().await?;
    let digest = measured.digest;
    // Anew also where some lies there: the same bytes may have been made of something else.
    write_provenance(replica, origin, &measured, content).await?;
    let key = manifest_key(dataset, digest);
    let is_new = !has(&there, &key);
    // Anew too: its time is that of the last publication, and what was written after it is not of this version.
    let mut reader = ManifestReader(content.read());
    write_streamed(replica, &key, Size::Known(measured.size), &mut reader, content.transfer).await?;
    Ok(Published { digest, is_new, there, beside })
}

impl Published {
    /// After a new manifest, removes the oldest beyond the kept number.
    pub(super) async fn remove_oldest(self, replica: &Replica, dataset: &DatasetName) -> Result<(), StoreError> {
        if !self.is_new {
            return Ok(());
        }
        let mut kept = remove_oldest(replica, self.there, KEPT_MANIFESTS).await?;
        kept.insert(manifest_key(dataset, self.digest));
        remove_provenance(replica, dataset, &self.beside, &kept).await
    }

    /// The versions whose manifests were there, and when those were written.
    pub(super) fn there(&self, dataset: &DatasetName) -> HashMap<ManifestDigest, Timestamp> {
        let digest = |object: &ObjectSummary| {
            let written = Timestamp::from_second(object.modified).unwrap_or_default();
            Some((manifest_of_key(dataset, &object.key)?, written))
        };
        self.there.iter().filter_map(digest).collect()
    }

    /// Removes all manifests but these, and what tells where they came from.
    pub(super) async fn keep_only(
        &self,
        replica: &Replica,
        dataset: &DatasetName,
        kept: &HashSet<ManifestDigest>,
    ) -> Result<(), StoreError> {
        let kept: HashSet<_> = kept.iter().map(|digest| manifest_key(dataset, *digest)).collect();
        for old in self.there.iter().filter(|object| !kept.contains(&object.key)) {
            replica.store.delete(&old.key).await?;
        }
        remove_provenance(replica, dataset, &self.beside, &kept).await
    }
}

/// Puts a shard index beside the data unless it is there, and removes the oldest beyond the kept number.
pub(super) async fn publish_index(
    replica: &Replica,
    dataset: &DatasetName,
    (index, kept): (&ShardIndex, usize),
    cancel: &CancellationToken,
) -> Result<(), StoreError> {
    let key = shard_index_key(dataset, index.digest());
    let there = objects_below(replica, &dataset.shards_folder(), cancel).await?;
    if there.iter().any(|object| object.key == key) {
        return Ok(());
    }
    write_document(replica, &key, index.to_bytes()).await?;
    remove_oldest(replica, there, kept).await.map(drop)
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
async fn remove_oldest(
    replica: &Replica,
    mut there: Vec<ObjectSummary>,
    kept: usize,
) -> Result<HashSet<String>, StoreError> {
    there.sort_unstable_by_key(|object| std::cmp::Reverse(object.modified));
    for old in there.drain(there.len().min(kept.max(1) - 1)..) {
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
    let destination =
        Destination { store, key, condition: Condition::Any, journals: None, stop: Stop::of_all(&transfer.cancel) };
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
