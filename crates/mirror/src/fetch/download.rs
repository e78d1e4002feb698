use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::Digest as _;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, BufWriter};
use tokio_util::sync::CancellationToken;

use super::path::PlannedFile;
use super::{FetchError, FetchEvent, at};
use crate::transfer::parallel_reader::{ParallelReader, Unread};
use crate::transfer::reader::ChunkReader as _;
use crate::transfer::room::Room;
use crate::{DatasetName, ManifestEntry, RESERVED_PREFIX, Replica, Sha256, StoreError, StoreErrorKind, kept_key};

/// What is brought, and from where.
pub(super) struct Version<'a> {
    pub(super) replica: &'a Replica,
    pub(super) dataset: &'a DatasetName,
    /// When its manifest was written, by the store's clock. What was written later is of another version, or the same once more.
    pub(super) published: i64,
}

/// Where a content may lie.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Under its key, as in the newest version.
    Key,
    /// Where it was put away when that became another.
    Kept,
}

pub(super) struct Download<'a, P> {
    pub(super) version: Version<'a>,
    pub(super) into: &'a Path,
    pub(super) cancel: &'a CancellationToken,
    pub(super) progress: &'a P,
    /// For what is read ahead of large files.
    pub(super) room: Room,
}

impl<P: Fn(FetchEvent) + Sync> Download<'_, P> {
    /// Partial files lie where no object of a dataset can.
    fn partials(&self) -> PathBuf {
        self.into.join(RESERVED_PREFIX)
    }

    pub(super) async fn prepare(&self) -> Result<(), FetchError> {
        let partials = self.partials();
        fs::create_dir_all(&partials).await.map_err(at(&partials))
    }

    pub(super) async fn clean_up(&self) -> Result<(), FetchError> {
        let partials = self.partials();
        fs::remove_dir_all(&partials).await.map_err(at(&partials))
    }

    /// Brings one file; `false` when it was right already.
    pub(super) async fn bring(&self, file: &PlannedFile<'_>) -> Result<bool, FetchError> {
        let path = self.into.join(&file.path);
        if file.is_folder {
            return fs::create_dir_all(&path).await.map(|()| true).map_err(at(&path));
        }
        if self.is_right(&path, file.entry).await? {
            (self.progress)(FetchEvent::Received { bytes: file.entry.size });
            return Ok(false);
        }
        let folder = path.parent().unwrap_or(self.into);
        fs::create_dir_all(folder).await.map_err(at(folder))?;
        let partial = self.partials().join(format!("{}.{}", Sha256::of(file.entry.key.as_bytes()), file.entry.sha256));
        self.complete(&partial, file.entry).await?;
        fs::rename(&partial, &path).await.map_err(at(&path))?;
        let synced = async { File::open(folder).await?.sync_all().await };
        synced.await.map(|()| true).map_err(at(folder))
    }

    async fn is_right(&self, path: &Path, entry: &ManifestEntry) -> Result<bool, FetchError> {
        match fs::symlink_metadata(path).await {
            Ok(found) if found.is_file() && found.len() == entry.size => {
                Ok(Sha256::finish(hash_file(path).await.map_err(at(path))?) == entry.sha256)
            }
            Ok(_) => Ok(false),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(at(path)(error)),
        }
    }

    /// Makes the partial file whole and right, continuing what an earlier run left; anew when that was wrong.
    async fn complete(&self, partial: &Path, entry: &ManifestEntry) -> Result<(), FetchError> {
        let found = match fs::metadata(partial).await {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(at(partial)(error)),
        };
        if found > 0 && found < entry.size {
            match self.append_from_anywhere(partial, entry, found).await {
                Err(error) if is_another(&error) => (),
                other => return other,
            }
        }
        self.append_from_anywhere(partial, entry, 0).await
    }

    /// From where the content lies: a pass that is under way puts it away before it overwrites or removes the object.
    async fn append_from_anywhere(&self, partial: &Path, entry: &ManifestEntry, offset: u64) -> Result<(), FetchError> {
        let another = match self.append(partial, entry, (offset, Place::Key)).await {
            Err(error) if is_another(&error) => error,
            other => return other,
        };
        match self.append(partial, entry, (offset, Place::Kept)).await {
            // What is wrong under its key is the thing to tell.
            Err(error) if is_another(&error) => Err(another),
            other => other,
        }
    }

    /// Opens the content where it is most likely: what was written under the key after the version was published is hardly it.
    async fn open(&self, entry: &ManifestEntry, (offset, place): (u64, Place)) -> Result<ParallelReader, StoreError> {
        let Version { replica, dataset, published } = self.version;
        let open = |key| {
            let unread = Unread { store: replica.store.clone(), key, from: offset, size: entry.size };
            ParallelReader::open(unread, None, Some(self.room.clone()), self.cancel.clone())
        };
        let kept = kept_key(dataset, entry.sha256);
        match place {
            Place::Kept => open(kept).await,
            Place::Key => {
                let reader = open(replica.key(&entry.key)).await?;
                if reader.head().modified <= published {
                    return Ok(reader);
                }
                match open(kept).await {
                    Err(error) if error.kind == StoreErrorKind::NotFound => Ok(reader),
                    kept => kept,
                }
            }
        }
    }

    async fn append(
        &self,
        partial: &Path,
        entry: &ManifestEntry,
        (offset, place): (u64, Place),
    ) -> Result<(), FetchError> {
        let mismatch = |reason| FetchError::Mismatch { key: entry.key.clone(), reason };
        let mut reader = self.open(entry, (offset, place)).await.map_err(|error| match error.kind {
            StoreErrorKind::NotFound => mismatch("the bucket does not have it".to_owned()),
            StoreErrorKind::Rejected if offset > 0 => mismatch(error.to_string()),
            _ => error.into(),
        })?;
        if reader.head().size != entry.size {
            return Err(mismatch(format!("{} bytes instead of {}", reader.head().size, entry.size)));
        }
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(false).open(partial).await.map_err(at(partial))?;
        // What another object has left behind it.
        file.set_len(offset).await.map_err(at(partial))?;
        let mut hasher = if offset > 0 { hash_file(partial).await.map_err(at(partial))? } else { sha2::Sha256::new() };
        file.seek(SeekFrom::Start(offset)).await.map_err(at(partial))?;
        let mut file = BufWriter::with_capacity(CHUNK, file);
        (self.progress)(FetchEvent::Received { bytes: offset });
        while let Some(chunk) = reader.next_chunk().await? {
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(at(partial))?;
            (self.progress)(FetchEvent::Received { bytes: chunk.len() as u64 });
        }
        file.flush().await.map_err(at(partial))?;
        file.get_ref().sync_all().await.map_err(at(partial))?;
        let sha256 = Sha256::finish(hasher);
        if sha256 == entry.sha256 {
            Ok(())
        } else {
            Err(mismatch(format!("SHA-256 {sha256} instead of {}", entry.sha256)))
        }
    }
}

/// Whether an object is not what the manifest says, now or since a moment ago.
fn is_another(error: &FetchError) -> bool {
    match error {
        FetchError::Mismatch { .. } => true,
        FetchError::Store(error) => matches!(error.kind, StoreErrorKind::Changed | StoreErrorKind::NotFound),
        _ => false,
    }
}

/// How much of a file is read or written at once.
const CHUNK: usize = 256 * 1024;

async fn hash_file(path: &Path) -> io::Result<sha2::Sha256> {
    let mut file = File::open(path).await?;
    let mut hasher = sha2::Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk).await? {
            0 => return Ok(hasher),
            read => hasher.update(&chunk[..read]),
        }
    }
}
