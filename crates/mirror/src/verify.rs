use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use sha2::Digest as _;
use tokio_util::sync::CancellationToken;

use crate::cancel::cancellable;
use crate::reader::{ObjectReader, digest_of};
use crate::{
    Manifest, ManifestEntry, ObjectHead, ObjectStore, Proof, Replica, Sha256, StoreError, StoreErrorKind,
    StoredChecksum, Verification,
};

/// What a copy must be.
pub(crate) struct Expected {
    pub(crate) size: u64,
    pub(crate) sha256: Sha256,
    /// Its CRC-32C, where it was computed.
    pub(crate) crc32c: Option<u32>,
    /// The digests of the parts it was just written in; empty when not known.
    pub(crate) parts: Vec<Sha256>,
}

/// Proves that an object is what it must be; gives what the store says about it. The error is [`StoreErrorKind::Corrupt`] when it is not.
pub(crate) async fn prove(
    store: &Arc<dyn ObjectStore>,
    key: &str,
    expected: &Expected,
    verification: Verification,
    cancel: &CancellationToken,
) -> Result<ObjectHead, StoreError> {
    let corrupt = |detail| store.place().error(StoreErrorKind::Corrupt, format!("verify {key:?}"), detail);
    let head = cancellable(cancel, store.place(), store.head(key)).await?;
    if head.size != expected.size {
        return Err(corrupt(format!("{} bytes instead of {}", head.size, expected.size)));
    }
    let just_written = !expected.parts.is_empty();
    let (stored, wanted) = match head.checksum {
        _ if verification == Verification::ReadBack => (None, expected.sha256),
        Some(StoredChecksum::Crc32c(stored)) if let Some(wanted) = expected.crc32c => {
            let differs = || corrupt(format!("CRC-32C {stored:08x} instead of {wanted:08x}"));
            return if stored == wanted { Ok(head) } else { Err(differs()) };
        }
        Some(StoredChecksum::Whole(stored)) => (Some(stored), expected.sha256),
        Some(StoredChecksum::Composite { sha256, parts }) if parts as usize == expected.parts.len() => {
            (Some(sha256), composite(&expected.parts))
        }
        _ if just_written && store.proof() == Proof::Transit => return Ok(head),
        _ => (None, expected.sha256),
    };
    let stored = if let Some(stored) = stored {
        stored
    } else {
        let etag = Some(head.etag.as_str());
        let mut reader = ObjectReader::open(store.clone(), key.to_owned(), 0, etag, cancel.clone()).await?;
        digest_of(&mut reader).await?
    };
    if stored == wanted { Ok(head) } else { Err(corrupt(format!("SHA-256 {stored} instead of {wanted}"))) }
}

/// What S3 keeps for a multipart upload: the digest of the parts' digests, one after another.
fn composite(parts: &[Sha256]) -> Sha256 {
    let mut hasher = sha2::Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
    }
    Sha256::finish(hasher)
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
/// [`Verification::Checksum`] trusts a checksum of the whole object where the store keeps one. It changes nothing.
///
/// # Errors
/// When the bucket cannot be asked; an object that is missing or wrong is a [`Mismatch`].
pub async fn verify(
    replica: &Replica,
    manifest: &Manifest,
    verification: Verification,
    concurrency: usize,
    cancel: &CancellationToken,
) -> Result<VerifyReport, StoreError> {
    let checks = stream::iter(manifest.entries()).map(|entry| check(replica, entry, verification, cancel));
    let mismatches: Vec<_> = checks.buffered(concurrency.max(1)).try_collect().await?;
    let mismatches: Vec<_> = mismatches.into_iter().flatten().collect();
    Ok(VerifyReport { verified: (manifest.entries().len() - mismatches.len()) as u64, mismatches })
}

async fn check(
    replica: &Replica,
    entry: &ManifestEntry,
    verification: Verification,
    cancel: &CancellationToken,
) -> Result<Option<Mismatch>, StoreError> {
    let expected = Expected { size: entry.size, sha256: entry.sha256, crc32c: None, parts: Vec::new() };
    match prove(&replica.store, &replica.key(&entry.key), &expected, verification, cancel).await {
        Ok(_) => Ok(None),
        Err(error) if error.concerns_whole_bucket() => Err(error),
        Err(error) => Ok(Some(Mismatch { key: entry.key.clone(), error })),
    }
}
