//! Reads a manifest of any size, entry by entry.

use bytes::BytesMut;
use sha2::Digest as _;
use tokio_util::sync::CancellationToken;

use crate::transfer::object_reader::ObjectReader;
use crate::transfer::reader::ChunkReader as _;
use crate::{
    ByteRange, DatasetName, ManifestDigest, ManifestEntry, Replica, Sha256, StoreError, StoreErrorKind, manifest_key,
};

/// Gives the entries of a manifest in the order of their keys. That they are all, and those of this digest, is known when it has
/// given the last one.
pub(crate) struct ManifestReader {
    reader: ObjectReader,
    digest: ManifestDigest,
    hasher: sha2::Sha256,
    /// Bytes that are not given yet.
    rest: BytesMut,
    has_ended: bool,
}

impl ManifestReader {
    pub(crate) async fn open(
        replica: &Replica,
        dataset: &DatasetName,
        digest: ManifestDigest,
        cancel: &CancellationToken,
    ) -> Result<Self, StoreError> {
        let (store, key) = (replica.store.clone(), manifest_key(dataset, digest));
        let reader = ObjectReader::open(store, key, ByteRange::ALL, None, cancel.clone()).await?;
        Ok(Self { reader, digest, hasher: sha2::Sha256::new(), rest: BytesMut::new(), has_ended: false })
    }

    /// `None` at its end.
    ///
    /// # Errors
    /// It cannot be read, or is not the manifest of this digest.
    pub(crate) async fn next(&mut self) -> Result<Option<ManifestEntry>, StoreError> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end + 1);
                return serde_json::from_slice(&line).map(Some).map_err(|error| self.damaged(&error.to_string()));
            }
            if self.has_ended {
                return Ok(None);
            }
            match self.reader.next_chunk().await? {
                Some(chunk) => {
                    self.hasher.update(&chunk);
                    self.rest.extend_from_slice(&chunk);
                }
                None => self.end()?,
            }
        }
    }

    fn end(&mut self) -> Result<(), StoreError> {
        self.has_ended = true;
        let found = Sha256::finish(std::mem::take(&mut self.hasher));
        if found == self.digest.0 && self.rest.is_empty() {
            return Ok(());
        }
        Err(self.damaged(&format!("its content is sha256:{found}")))
    }

    fn damaged(&self, why: &str) -> StoreError {
        self.reader.error(StoreErrorKind::Corrupt, &format!("the manifest {} is damaged: {why}", self.digest))
    }
}
