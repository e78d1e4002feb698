use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::transfer::reader::ChunkReader;
use crate::transfer::{Content, Destination, Proven, Size, Start, Stop, Transfer, fan_out};
use crate::{
    Attributes, Condition, ObjectStore, RetryClass, Sha256, StoreError, StoreErrorKind, TransferLimits, Verification,
};

/// A file that is now an object, as the store confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadOutcome {
    /// Bytes.
    pub size: u64,
    /// The digest of the content.
    pub sha256: Sha256,
    /// The ETag the store gave the object.
    pub etag: String,
}

/// Why a file did not become an object.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The file cannot be opened or read.
    #[error("cannot read the file {path:?}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no file that has an end, such as a directory or a pipe.
    #[error("{0:?} is not a regular file: give one file; a whole folder is copied by a DatasetReplica")]
    NotAFile(PathBuf),
    /// It became shorter or longer while it was read.
    #[error("the file {0:?} changed while it was read: upload it again when nobody writes to it")]
    FileChanged(PathBuf),
    /// The store did not take the object, or holds another content than was sent.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl UploadError {
    /// Whether it helps to try again.
    #[must_use]
    pub fn retry(&self) -> RetryClass {
        match self {
            Self::Store(error) => error.retry(),
            Self::FileChanged(_) => RetryClass::Transient,
            Self::File { .. } | Self::NotAFile(_) => RetryClass::Permanent,
        }
    }
}

/// Puts a file into a bucket and returns once the store has confirmed size and content. `sent` is told of bytes the store
/// has taken. Stop it by `cancel`: then no part of an unfinished upload stays behind.
///
/// # Errors
/// See [`UploadError`]. A content that is not what was sent is [`StoreErrorKind::Corrupt`].
pub async fn upload(
    store: &Arc<dyn ObjectStore>,
    key: &str,
    file: &Path,
    limits: TransferLimits,
    cancel: &CancellationToken,
    sent: impl Fn(u64) + Sync,
) -> Result<UploadOutcome, UploadError> {
    let mut reader = FileReader::open(file).await?;
    let size = reader.left;
    let destination = Destination {
        store: store.clone(),
        key: key.to_owned(),
        condition: Condition::Any,
        journals: None,
        stop: Stop::of_all(cancel),
    };
    let too_large = |detail| store.place().error(StoreErrorKind::Rejected, format!("write {key:?}"), detail);
    store.part_limits().check(size).map_err(too_large)?;
    let transfer = Transfer::new(limits, Verification::Checksum, cancel.clone()).with_sha256();
    let sent = |_, bytes| sent(bytes);
    let attributes = Attributes::default();
    let content = Content::new(Size::Known(size), &attributes);
    let copies = fan_out(&mut reader, &content, &[destination], Start::afresh(1), &transfer, sent).await?;
    let nothing = || store.place().error(StoreErrorKind::Protocol, format!("write {key:?}"), "nothing was written");
    let Proven { sha256, etag, .. } = copies.into_iter().next().unwrap_or_else(|| Err(nothing()))?;
    Ok(UploadOutcome { size, sha256: sha256.ok_or_else(nothing)?, etag })
}

struct FileReader {
    path: PathBuf,
    file: File,
    left: u64,
}

/// How much of a file is read at once.
const CHUNK: usize = 256 * 1024;

impl FileReader {
    async fn open(path: &Path) -> Result<Self, UploadError> {
        let unreadable = |source| UploadError::File { path: path.to_owned(), source };
        // Asked before it is opened: opening a pipe would wait for its writer.
        let kind = tokio::fs::metadata(path).await.map_err(unreadable)?;
        if !kind.is_file() {
            return Err(UploadError::NotAFile(path.to_owned()));
        }
        let file = File::open(path).await.map_err(unreadable)?;
        Ok(Self { path: path.to_owned(), file, left: kind.len() })
    }
}

impl ChunkReader for FileReader {
    type Error = UploadError;

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, UploadError> {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = self.file.read_buf(&mut chunk).await;
        let read = read.map_err(|source| UploadError::File { path: self.path.clone(), source })? as u64;
        if read > self.left || (read == 0 && self.left > 0) {
            return Err(UploadError::FileChanged(self.path.clone()));
        }
        self.left -= read;
        Ok((read > 0).then(|| chunk.freeze()))
    }
}
