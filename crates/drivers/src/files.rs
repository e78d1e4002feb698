//! Files that drivers write: whole or not at all, for their owner only, and so that they outlast a power cut.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tokio::fs::{self, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::DriverError;

/// Larger than what is written for ten thousand routes.
const MOST: u64 = 64 << 20;

/// Makes an error of a file.
pub(crate) fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DriverError + use<> {
    let path = path.to_owned();
    move |source| DriverError::File { what, path, source }
}

/// What a file has; none if it is not there.
pub(crate) async fn read(path: &Path) -> Result<Option<Vec<u8>>, DriverError> {
    let read = async {
        let mut bytes = Vec::new();
        fs::File::open(path).await?.take(MOST).read_to_end(&mut bytes).await?;
        std::io::Result::Ok(bytes)
    };
    match read.await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(failed("read", path)),
    }
}

/// The text of a file; none if it is not there. What is no UTF-8 is none of ours, and differs from it.
pub(crate) async fn read_text(path: &Path) -> Result<Option<String>, DriverError> {
    Ok(read(path).await?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Names of what is in a folder; none if that is not there.
pub(crate) async fn names(folder: &Path) -> Result<Vec<String>, DriverError> {
    let mut entries = match fs::read_dir(folder).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", folder))?,
    };
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(failed("list", folder))? {
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// Writes beside a file, and makes it that file: nobody sees a part of it.
pub(crate) async fn replace(path: &Path, content: &[u8]) -> Result<(), DriverError> {
    let beside = beside(path);
    write(&beside, content).await?;
    rename(&beside, path).await
}

/// Where a file is written before it is one.
pub(crate) fn beside(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

/// Writes a file that nobody uses yet, and makes its folder if that is not there.
pub(crate) async fn write(path: &Path, content: &[u8]) -> Result<(), DriverError> {
    // What was left there may be for others to read.
    remove(path).await?;
    let written = async {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).await?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await?;
        file.write_all(content).await?;
        file.sync_all().await
    };
    written.await.map_err(failed("write", path))
}

/// Puts a file in the place of another.
pub(crate) async fn rename(from: &Path, to: &Path) -> Result<(), DriverError> {
    let renamed = async {
        fs::rename(from, to).await?;
        match to.parent() {
            Some(folder) => fs::File::open(folder).await?.sync_all().await,
            None => Ok(()),
        }
    };
    renamed.await.map_err(failed("replace", to))
}

/// Removes a file or a link, if it is there.
pub(crate) async fn remove(path: &Path) -> Result<(), DriverError> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed("remove", path)),
    }
}
