//! Files of the driver.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tokio::fs::{self, DirBuilder, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::names::digest;
use crate::DriverError;

/// Larger than what is written for ten thousand routes.
const MOST: u64 = 64 << 20;

/// Makes an error of a file.
pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DriverError + use<> {
    let path = path.to_owned();
    move |source| DriverError::File { what, path, source }
}

/// The text of a file; none if it is not there.
pub(super) async fn read(path: &Path) -> Result<Option<String>, DriverError> {
    // Text that is no UTF-8 is none of ours, and differs from it.
    Ok(bytes(path).await?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

async fn bytes(path: &Path) -> Result<Option<Vec<u8>>, DriverError> {
    let read = async {
        let mut bytes = Vec::new();
        fs::File::open(path).await?.take(MOST).read_to_end(&mut bytes).await?;
        std::io::Result::Ok(bytes)
    };
    match read.await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// What the files of a folder come to, by their names.
pub(super) async fn digests(folder: &Path) -> Result<BTreeMap<String, String>, DriverError> {
    let mut digests = BTreeMap::new();
    let mut entries = match fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(digests),
        Err(error) => return Err(failed("list", folder)(error)),
    };
    while let Some(entry) = entries.next_entry().await.map_err(failed("list", folder))? {
        if let Some(content) = bytes(&entry.path()).await? {
            digests.insert(entry.file_name().to_string_lossy().into_owned(), digest(&content));
        }
    }
    Ok(digests)
}

/// Writes beside a file, and makes it that file: nobody sees a part of it.
pub(super) async fn replace(path: &Path, content: &[u8]) -> Result<(), DriverError> {
    let beside = beside(path);
    write(&beside, content).await?;
    rename(&beside, path).await
}

/// Where a file is written before it is one.
pub(super) fn beside(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

/// Writes a file that nobody else can read, and does not return before it would outlast a power cut.
pub(super) async fn write(path: &Path, content: &[u8]) -> Result<(), DriverError> {
    let written = async {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).await?;
        }
        // What was left there may be for others to read.
        _ = fs::remove_file(path).await;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await?;
        file.write_all(content).await?;
        file.sync_all().await
    };
    written.await.map_err(failed("write", path))
}

/// Gives a written file its name.
pub(super) async fn rename(from: &Path, to: &Path) -> Result<(), DriverError> {
    let renamed = async {
        fs::rename(from, to).await?;
        match to.parent() {
            Some(folder) => fs::File::open(folder).await?.sync_all().await,
            None => Ok(()),
        }
    };
    renamed.await.map_err(failed("write", to))
}

/// Removes a file, if it is there.
pub(super) async fn remove(path: &Path) -> Result<(), DriverError> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}
