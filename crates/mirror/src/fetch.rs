//! Brings a verified dataset to a directory.

mod download;
mod path;
mod pieces;
mod provenance;
mod shards;

use std::io;
use std::path::{Path, PathBuf};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::dataset::document::read_dated;
use crate::transfer::room::Room;
use crate::{
    DatasetName, InvalidManifest, InvalidProvenance, InvalidShardIndex, Manifest, ManifestDigest, Replica, RetryClass,
    Sha256, StoreError, StoreErrorKind, manifest_key,
};

use download::{Download, Version};
pub use path::UnsafeKey;
pub use pieces::{JoinOutcome, Pieces};
pub use provenance::read_provenance;
pub use shards::read_shard_index;

/// What is fetched.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// The dataset.
    pub dataset: DatasetName,
    /// The version of it.
    pub digest: ManifestDigest,
    /// Only objects whose key in the dataset starts with it; the rest of the key is the file's path.
    pub path: String,
    /// The directory, made when it is not there.
    pub into: PathBuf,
    /// Files in flight at once (default 4). Each holds a few hundred KiB in memory, and the large ones 64 MiB together.
    pub concurrency: usize,
}

/// What was fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchOutcome {
    /// Files in the directory, each one checked.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were right already.
    pub skipped_files: u64,
}

/// Something that happened in a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchEvent {
    /// What the directory shall hold.
    Planned {
        /// Files.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// So many bytes more are there.
    Received {
        /// How many.
        bytes: u64,
    },
}

/// Why a dataset is not in the directory.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The bucket has no such manifest.
    #[error(
        "the dataset {dataset} has no manifest {digest} in bucket {bucket:?}: it was not mirrored there, or it is one of an old version"
    )]
    MissingManifest {
        /// The dataset.
        dataset: DatasetName,
        /// The version.
        digest: ManifestDigest,
        /// The bucket.
        bucket: String,
    },
    /// The manifest is not the one asked for.
    #[error("the manifest {expected} is damaged: its content is sha256:{found}")]
    DamagedManifest {
        /// The digest asked for.
        expected: ManifestDigest,
        /// The digest of what is there.
        found: Sha256,
    },
    /// The bucket has no such index of a dataset that is split.
    #[error(
        "the dataset {dataset} has no shard index {digest} in bucket {bucket:?}: it is one of an old version, or of other targets"
    )]
    MissingShardIndex {
        /// The dataset.
        dataset: DatasetName,
        /// The version.
        digest: ManifestDigest,
        /// The bucket.
        bucket: String,
    },
    /// The index is not the one asked for.
    #[error("the shard index {expected} is damaged: its content is sha256:{found}")]
    DamagedShardIndex {
        /// The digest asked for.
        expected: ManifestDigest,
        /// The digest of what is there.
        found: Sha256,
    },
    /// The index has the right digest and is none.
    #[error(transparent)]
    InvalidShardIndex(#[from] InvalidShardIndex),
    /// The manifest has the right digest and is none.
    #[error(transparent)]
    InvalidManifest(#[from] InvalidManifest),
    /// The bucket does not say where the version came from.
    #[error(
        "bucket {bucket:?} does not tell where {digest} of the dataset {dataset} came from: the version is none of those that are kept, \
         or a Skyfleet published it that did not write that yet; the next pass of the mirror writes it beside the newest version"
    )]
    MissingProvenance {
        /// The dataset.
        dataset: DatasetName,
        /// The version.
        digest: ManifestDigest,
        /// The bucket.
        bucket: String,
    },
    /// What tells where the version came from cannot be read.
    #[error(transparent)]
    InvalidProvenance(#[from] InvalidProvenance),
    /// Nothing in the dataset starts with the path.
    #[error("no object of the dataset has a key that starts with {0:?}")]
    NothingThere(String),
    /// A key cannot be a file's path.
    #[error(transparent)]
    UnsafeKey(#[from] UnsafeKey),
    /// The directory cannot be written.
    #[error("cannot write {path:?}: {source}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The pieces of an object cannot be joined.
    #[error("the pieces of {whole:?} cannot be joined: {reason}; they can be used as they are, too")]
    Pieces {
        /// The key of the object that was cut.
        whole: String,
        /// What is wrong.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("it was stopped on request: run it again")]
    Stopped,
    /// An object is not what the manifest says.
    #[error(
        "the object {key:?} is not what the manifest says, and its content is not kept: {reason}; wait for the next pass of the \
         mirror, or fetch a newer version"
    )]
    Mismatch {
        /// The key, relative to the dataset's prefix.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// The store did not give what was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FetchError {
    /// Whether it helps to try again.
    #[must_use]
    pub fn retry(&self) -> RetryClass {
        match self {
            Self::Store(error) => error.retry(),
            Self::DamagedManifest { .. } | Self::DamagedShardIndex { .. } | Self::Mismatch { .. } | Self::Stopped => {
                RetryClass::Transient
            }
            _ => RetryClass::Permanent,
        }
    }
}

/// Bytes of large files that are read ahead of what was written, by several connections each.
const ROOM: u64 = 64 * 1024 * 1024;

/// Brings every object below `request.path` into the directory: each is streamed to a partial file, checked by size and
/// SHA-256, flushed to disk and only then given its name. Files that are right already stay; a partial file is
/// continued. So it may be stopped at any moment and run again. Other files in the directory stay.
///
/// An object that is not what the manifest says any more is read from where its content was put away, where versions are kept.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch(
    replica: &Replica,
    request: &FetchRequest,
    cancel: &CancellationToken,
    progress: impl Fn(FetchEvent) + Sync,
) -> Result<FetchOutcome, FetchError> {
    let (manifest, published) = read_dated_manifest(replica, &request.dataset, request.digest, cancel).await?;
    let files = path::plan(&manifest, &request.path)?;
    if files.is_empty() && !(manifest.entries().is_empty() && request.path.is_empty()) {
        return Err(FetchError::NothingThere(request.path.clone()));
    }
    let total = FetchOutcome {
        files: files.len() as u64,
        bytes: files.iter().map(|file| file.entry.size).sum(),
        skipped_files: 0,
    };
    progress(FetchEvent::Planned { files: total.files, bytes: total.bytes });
    let version = Version { replica, dataset: &request.dataset, published };
    let download = Download { version, into: &request.into, cancel, progress: &progress, room: Room::new(ROOM) };
    download.prepare().await?;
    let downloads = stream::iter(&files).map(|file| download.bring(file)).buffer_unordered(request.concurrency.max(1));
    let skipped_files = downloads.try_fold(0, async |skipped, brought| Ok(skipped + u64::from(!brought))).await?;
    download.clean_up().await?;
    Ok(FetchOutcome { skipped_files, ..total })
}

/// Reads the manifest of a version, as one of its buckets has it.
///
/// # Errors
/// See [`FetchError`].
pub async fn read_manifest(
    replica: &Replica,
    dataset: &DatasetName,
    digest: ManifestDigest,
    cancel: &CancellationToken,
) -> Result<Manifest, FetchError> {
    read_dated_manifest(replica, dataset, digest, cancel).await.map(|(manifest, _)| manifest)
}

/// The manifest, and when it was written.
async fn read_dated_manifest(
    replica: &Replica,
    dataset: &DatasetName,
    digest: ManifestDigest,
    cancel: &CancellationToken,
) -> Result<(Manifest, i64), FetchError> {
    let key = manifest_key(dataset, digest);
    let (bytes, published) = read_dated(replica, &key, cancel).await.map_err(|error| match error.kind {
        StoreErrorKind::NotFound => {
            FetchError::MissingManifest { dataset: dataset.clone(), digest, bucket: error.bucket.to_string() }
        }
        _ => error.into(),
    })?;
    let found = Sha256::of(&bytes);
    if ManifestDigest(found) != digest {
        return Err(FetchError::DamagedManifest { expected: digest, found });
    }
    Ok((Manifest::parse(&bytes)?, published))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_owned();
    move |source| FetchError::File { path, source }
}
