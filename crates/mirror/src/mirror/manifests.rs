//! Puts manifests beside the data.

use bytes::Bytes;
use futures::TryStreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::cancel::cancellable;
use crate::dataset::document::{jsonl, write_document};
use crate::dataset::layout::{KEPT_MANIFESTS, manifest_of_key};
use crate::state::{Book, PageRef, StateEntry};
use crate::transfer::reader::ChunkReader;
use crate::transfer::{Content, Destination, Size, Start, Transfer, fan_out};
use crate::{
    Condition, DatasetName, ManifestDigest, ManifestEntry, ObjectSummary, Replica, Sha256, ShardIndex, StoreError,
    list, manifest_key, shard_index_key,
};

/// What a manifest is made of: what is remembered of a target, page by page.
pub(super) struct ManifestSource<'a> {
    pub(super) book: &'a Book,
    pub(super) pages: &'a [PageRef],
    /// How many there must be.
    pub(super) objects: u64,
    pub(super) transfer: &'a Transfer,
}

/// Puts a manifest beside the data unless it is there, and removes the oldest beyond the kept number. `known` is its digest,
/// where that was told before.
pub(super) async fn publish(
    replica: &Replica,
    dataset: &DatasetName,
    known: Option<ManifestDigest>,
    source: &ManifestSource<'_>,
) -> Result<ManifestDigest, StoreError> {
    let cancel = &source.transfer.cancel;
    let mut there = objects_below(replica, &dataset.folder(), cancel).await?;
    there.retain(|object| manifest_of_key(dataset, &object.key).is_some());
    let is_there = |digest| {
        let key = manifest_key(dataset, digest);
        there.iter().any(|object| object.key == key)
    };
    if let Some(digest) = known.filter(|digest| is_there(*digest)) {
        return Ok(digest);
    }
    let (digest, size) = source.measure().await?;
    if is_there(digest) {
        return Ok(digest);
    }
    source.write(replica, &manifest_key(dataset, digest), size).await?;
    remove_oldest(replica, there).await?;
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
    remove_oldest(replica, there).await
}

async fn objects_below(
    replica: &Replica,
    folder: &str,
    cancel: &CancellationToken,
) -> Result<Vec<ObjectSummary>, StoreError> {
    let listing = list(&*replica.store, folder).try_collect();
    cancellable(cancel, replica.store.place(), listing).await
}

/// Removes the oldest of those that were there before a new one came.
async fn remove_oldest(replica: &Replica, mut there: Vec<ObjectSummary>) -> Result<(), StoreError> {
    there.sort_unstable_by_key(|object| std::cmp::Reverse(object.modified));
    for old in there.iter().skip(KEPT_MANIFESTS - 1) {
        replica.store.delete(&old.key).await?;
    }
    Ok(())
}

impl ManifestSource<'_> {
    fn reader(&self) -> ManifestReader<'_> {
        ManifestReader { source: self, pages: self.pages.iter(), objects: 0 }
    }

    /// The digest of the canonical bytes, and their number.
    async fn measure(&self) -> Result<(ManifestDigest, u64), StoreError> {
        let (mut hasher, mut size) = (<sha2::Sha256 as sha2::Digest>::new(), 0);
        let mut reader = self.reader();
        while let Some(lines) = reader.next_chunk().await? {
            sha2::Digest::update(&mut hasher, &lines);
            size += lines.len() as u64;
        }
        Ok((ManifestDigest(Sha256::finish(hasher)), size))
    }

    async fn write(&self, replica: &Replica, key: &str, size: u64) -> Result<(), StoreError> {
        let attributes = jsonl();
        let content = Content::new(Size::Known(size), &attributes);
        let (store, key) = (replica.store.clone(), key.to_owned());
        let destination = Destination { store, key, condition: Condition::Any, journals: None };
        let sent = |_, _| ();
        let written =
            fan_out(&mut self.reader(), &content, &[destination], Start::afresh(1), self.transfer, sent).await?;
        written.into_iter().try_for_each(|written| written.map(|_| ()))
    }
}

/// Gives the canonical bytes of a manifest.
struct ManifestReader<'a> {
    source: &'a ManifestSource<'a>,
    pages: std::slice::Iter<'a, PageRef>,
    objects: u64,
}

impl ChunkReader for ManifestReader<'_> {
    type Error = StoreError;

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        let ManifestSource { book, objects, transfer, .. } = *self.source;
        let Some(page) = self.pages.next() else {
            return if self.objects == objects { Ok(None) } else { Err(book.incomplete(self.objects, objects)) };
        };
        let records = book.page(page, &transfer.cancel).await?.ok_or_else(|| book.lost(page))?;
        self.objects += records.len() as u64;
        let mut lines = Vec::new();
        for (key, StateEntry { size, sha256, .. }) in records {
            let sha256 = sha256.ok_or_else(|| book.lost(page))?;
            ManifestEntry { key, size, sha256 }.write_to(&mut lines);
        }
        Ok(Some(lines.into()))
    }
}
