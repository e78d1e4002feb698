//! Single files: what is said of them, reading, removal.

use std::fs::Metadata;
use std::io::{self, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use bytes::Bytes;
use futures::stream::{self, Stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::{Attributes, ByteRange, ObjectHead, Place, StoreError, StoreErrorKind};

/// Bytes read at once.
const CHUNK: usize = 256 * 1024;

/// What a failure of the system means.
pub(super) fn kind(error: &io::Error) -> StoreErrorKind {
    match error.kind() {
        // Below a file there is nothing.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::CredentialsRefused,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Unavailable,
        _ => StoreErrorKind::Rejected,
    }
}

/// What a file is as an object; `None` for what is no file.
pub(super) fn head(metadata: &Metadata) -> Option<ObjectHead> {
    metadata.is_file().then(|| ObjectHead {
        size: metadata.len(),
        etag: version(metadata),
        modified: metadata.mtime(),
        attributes: Attributes::default(),
        checksum: None,
        tag_count: 0,
    })
}

/// What changes with the content: a write changes the time to the nanosecond, and a new file in its place the number.
fn version(metadata: &Metadata) -> String {
    format!("{:x}.{:x}-{:x}-{:x}", metadata.mtime(), metadata.mtime_nsec(), metadata.len(), metadata.ino())
}

/// These bytes of a file. One that was changed meanwhile ends with [`StoreErrorKind::Changed`].
pub(super) async fn read(
    path: &Path,
    range: ByteRange,
    place: Place,
    action: String,
) -> Result<(ObjectHead, impl Stream<Item = Result<Bytes, StoreError>> + Send + 'static), StoreError> {
    let failed = |place: &Place, action: &str, error: &io::Error| place.error(kind(error), action, error.to_string());
    let mut file = File::open(path).await.map_err(|error| failed(&place, &action, &error))?;
    let metadata = file.metadata().await.map_err(|error| failed(&place, &action, &error))?;
    let head =
        head(&metadata).ok_or_else(|| place.error(StoreErrorKind::NotFound, action.as_str(), "it is no file"))?;
    file.seek(SeekFrom::Start(range.from)).await.map_err(|error| failed(&place, &action, &error))?;
    let (etag, file) = (head.etag.clone(), file.take(range.to.map_or(u64::MAX, |to| to.saturating_sub(range.from))));
    let body = stream::try_unfold((file, place, action, etag), move |(mut file, place, action, etag)| async move {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await;
        if read.map_err(|error| failed(&place, &action, &error))? > 0 {
            return Ok(Some((Bytes::from(chunk), (file, place, action, etag))));
        }
        let metadata = file.get_ref().metadata().await.map_err(|error| failed(&place, &action, &error))?;
        if version(&metadata) == etag { Ok(None) } else { Err(place.error(StoreErrorKind::Changed, action, "")) }
    });
    Ok((head, body))
}

/// Removes a file, and the folders above it that are empty then. One that is not there is no error.
pub(super) fn remove(root: &Path, file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for folder in file.ancestors().skip(1).take_while(|folder| *folder != root) {
        // It is not empty, or somebody else has removed it.
        if std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}
