//! Skyfleet's own objects in a bucket: manifests and state.

use futures::TryStreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::content::{Hashing, Wanted};
use crate::layout::{KEPT_MANIFESTS, manifest_of_key};
use crate::reader::{ChunkReader as _, ObjectReader};
use crate::{
    Attributes, Condition, DatasetName, Manifest, ManifestDigest, Payload, Replica, State, StoreError, StoreErrorKind,
    list, manifest_key,
};

/// What tells the state of one source from that of another.
pub(crate) fn source_identity(source: &Replica) -> String {
    let place = source.store.place();
    format!("{}\n{}\n{}{}", place.endpoint, place.bucket, place.prefix, source.prefix)
}

/// All bytes of a small object of Skyfleet's own.
pub(crate) async fn read_document(
    replica: &Replica,
    key: &str,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, StoreError> {
    let mut reader = ObjectReader::open(replica.store.clone(), key.to_owned(), 0, None, cancel.clone()).await?;
    let size = reader.head().size;
    let mut hashing = Hashing::new(1, Wanted::default().to_compare_with(reader.announced()));
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    while let Some(chunk) = reader.next_chunk().await? {
        hashing.update(&chunk);
        bytes.extend_from_slice(&chunk);
    }
    reader.confirm(&hashing.finish())?;
    Ok(bytes)
}

pub(crate) async fn write_document(replica: &Replica, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
    let attributes = Attributes { content_type: Some("application/jsonl".to_owned()), ..Attributes::default() };
    replica.store.put(key, &attributes, Payload::of(bytes), &Condition::Any).await.map(|_| ())
}

/// A target's memory as it lies in its bucket.
pub(crate) struct StateFile {
    key: String,
    source: String,
    written: Vec<u8>,
}

impl StateFile {
    /// Reads what earlier passes wrote; nothing, when there is nothing that fits.
    pub(crate) async fn load(
        target: &Replica,
        key: String,
        source: String,
        cancel: &CancellationToken,
    ) -> Result<(Self, State), StoreError> {
        let written = match read_document(target, &key, cancel).await {
            Err(error) if error.kind == StoreErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let state = State::parse(&written, &source);
        if state.is_none() && !written.is_empty() {
            tracing::warn!(key, bucket = %target.store.place().bucket, "the state does not fit: everything is copied again");
        }
        Ok((Self { key, source, written }, state.unwrap_or_default()))
    }

    /// Writes the state when it is another one than what lies there.
    pub(crate) async fn save(&mut self, target: &Replica, state: &State) -> Result<(), StoreError> {
        if state.entries.is_empty() && self.written.is_empty() {
            return Ok(());
        }
        let bytes = state.to_bytes(&self.source).map_err(|error| {
            target.store.place().error(StoreErrorKind::Rejected, "write the state", error.to_string())
        })?;
        if bytes != self.written {
            write_document(target, &self.key, bytes.clone()).await?;
            self.written = bytes;
        }
        Ok(())
    }
}

/// Puts a manifest beside the data unless it is there, and removes the oldest beyond the kept number.
pub(crate) async fn publish(
    replica: &Replica,
    dataset: &DatasetName,
    manifest: &Manifest,
) -> Result<ManifestDigest, StoreError> {
    let digest = manifest.digest();
    let folder = dataset.folder();
    let objects: Vec<_> = list(&*replica.store, &folder).try_collect().await?;
    let mut others: Vec<_> = objects.iter().filter(|object| manifest_of_key(dataset, &object.key).is_some()).collect();
    let key = manifest_key(dataset, digest);
    if others.iter().any(|object| object.key == key) {
        return Ok(digest);
    }
    write_document(replica, &key, manifest.to_bytes()).await?;
    others.sort_unstable_by_key(|object| std::cmp::Reverse(object.modified));
    for old in others.iter().skip(KEPT_MANIFESTS - 1) {
        replica.store.delete(&old.key).await?;
    }
    Ok(digest)
}
