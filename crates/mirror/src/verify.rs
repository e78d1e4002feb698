use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::cancel::cancellable;
use crate::content::Digests;
use crate::transfer::object_reader::ObjectReader;
use crate::transfer::reader::digests_of;
use crate::{
    ByteRange, DatasetName, Manifest, ManifestEntry, ObjectHead, ObjectStore, Proof, Replica, Sha256, StoreError,
    StoreErrorKind, StoredChecksum, Verification, Written, kept_key,
};

/// What a copy must be.
pub(crate) struct Expected {
    pub(crate) size: u64,
    pub(crate) digests: Digests,
    /// What a store that keeps the checksums of parts says of it: the digest of theirs, and their number.
    pub(crate) composite: Option<(Sha256, usize)>,
}

impl Expected {
    /// Whether a store's checksum is that of this content; `None` when what is known of both cannot be compared.
    fn agrees_with(&self, stored: StoredChecksum) -> Option<bool> {
        match stored {
            StoredChecksum::Whole(checksum) => self.digests.agree_with(checksum),
            StoredChecksum::Composite { sha256, parts } => {
                let (own, _) = self.composite.filter(|(_, own)| *own == parts as usize)?;
                Some(own == sha256)
            }
        }
    }
}

/// Proves that an object was written as it should be: by what the store said when it took it, where that is enough. Gives its
/// ETag, and when it was written.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`] when it is another one.
pub(crate) async fn prove_written(
    store: &Arc<dyn ObjectStore>,
    key: &str,
    written: Option<Written>,
    expected: &Expected,
    verification: Verification,
    cancel: &CancellationToken,
) -> Result<(String, i64), StoreError> {
    let written = written.unwrap_or_default();
    let agrees = written.checksum.and_then(|stored| expected.agrees_with(stored));
    if agrees == Some(false) {
        return Err(corrupt(store, key, "the store took another content than was sent"));
    }
    let is_proven = agrees == Some(true) || store.proof() == Proof::Transit;
    if let Some(modified) = written.modified
        && is_proven
        && verification == Verification::Checksum
        && !written.etag.is_empty()
    {
        return Ok((written.etag, modified));
    }
    let head = prove(store, key, expected, &written.etag, verification, cancel).await?;
    Ok((head.etag, head.modified))
}

/// Proves that an object is what it must be; gives what the store says about it. `taken` is the version that the store has
/// just taken, if any.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`] when it is another one.
async fn prove(
    store: &Arc<dyn ObjectStore>,
    key: &str,
    expected: &Expected,
    taken: &str,
    verification: Verification,
    cancel: &CancellationToken,
) -> Result<ObjectHead, StoreError> {
    let head = cancellable(cancel, store.place(), store.head(key)).await?;
    if head.size != expected.size {
        return Err(corrupt(store, key, format!("{} bytes instead of {}", head.size, expected.size)));
    }
    if verification == Verification::Checksum {
        match head.checksum.and_then(|stored| expected.agrees_with(stored)) {
            Some(true) => return Ok(head),
            Some(false) => return Err(corrupt(store, key, "its checksum is that of another content")),
            None if store.proof() == Proof::Transit && !taken.is_empty() && taken == head.etag => return Ok(head),
            None => {}
        }
    }
    let etag = Some(head.etag.as_str());
    let mut reader = ObjectReader::open(store.clone(), key.to_owned(), ByteRange::ALL, etag, cancel.clone()).await?;
    let wanted = expected.digests.strongest();
    let stored = digests_of(&mut reader, wanted).await?;
    match wanted.map(|wanted| stored.agree_with(wanted)) {
        Some(Some(true)) => Ok(head),
        _ => Err(corrupt(store, key, "what was read back is another content")),
    }
}

fn corrupt(store: &Arc<dyn ObjectStore>, key: &str, detail: impl Into<String>) -> StoreError {
    store.place().error(StoreErrorKind::Corrupt, format!("verify {key:?}"), detail)
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Objects that are what the manifest says.
    pub verified: u64,
    /// Objects that are not, in the manifest's order.
    pub mismatches: Vec<Mismatch>,
}

/// An object that is missing or another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The key, relative to the dataset's prefix.
    pub key: String,
    /// What is wrong.
    pub error: StoreError,
}

/// Checks every object of a copy against a manifest, `concurrency` at once. [`Verification::ReadBack`] reads every byte;
/// [`Verification::Checksum`] trusts a checksum of the whole object where the store keeps one. It changes nothing. Of a version of a
/// `dataset`, an object may be another one by now whose content was put away.
///
/// # Errors
/// When the bucket cannot be asked; an object that is missing or wrong is a [`Mismatch`].
pub async fn verify(
    replica: &Replica,
    (manifest, dataset): (&Manifest, Option<&DatasetName>),
    verification: Verification,
    concurrency: usize,
    cancel: &CancellationToken,
) -> Result<VerifyReport, StoreError> {
    let checks = stream::iter(manifest.entries()).map(|entry| check(replica, (entry, dataset), verification, cancel));
    let mismatches: Vec<_> = checks.buffered(concurrency.max(1)).try_collect().await?;
    let mismatches: Vec<_> = mismatches.into_iter().flatten().collect();
    Ok(VerifyReport { verified: (manifest.entries().len() - mismatches.len()) as u64, mismatches })
}

async fn check(
    replica: &Replica,
    (entry, dataset): (&ManifestEntry, Option<&DatasetName>),
    verification: Verification,
    cancel: &CancellationToken,
) -> Result<Option<Mismatch>, StoreError> {
    let expected = Expected { size: entry.size, digests: Digests::of(entry.sha256), composite: None };
    let error = match prove(&replica.store, &replica.key(&entry.key), &expected, "", verification, cancel).await {
        Ok(_) => return Ok(None),
        Err(error) if error.concerns_whole_bucket() => return Err(error),
        Err(error) => error,
    };
    if let Some(dataset) = dataset {
        let kept = kept_key(dataset, entry.sha256);
        match prove(&replica.store, &kept, &expected, "", verification, cancel).await {
            Ok(_) => return Ok(None),
            Err(error) if error.concerns_whole_bucket() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(Some(Mismatch { key: entry.key.clone(), error }))
}
