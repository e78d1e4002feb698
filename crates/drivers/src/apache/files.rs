//! Files of the driver.

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt as _;

use crate::DriverError;

/// More than any of our files has.
const MOST: u64 = 64 << 20;

/// The text of a file, if there is one.
pub(super) async fn read(path: &Path) -> Result<Option<Vec<u8>>, DriverError> {
    let failed = |source| DriverError::File { what: "read", path: path.to_owned(), source };
    let file = match tokio::fs::File::open(path).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut text = Vec::new();
    file.take(MOST).read_to_end(&mut text).await.map_err(failed)?;
    Ok(Some(text))
}

/// Writes a file whole or not at all, for its owner only.
pub(super) async fn write(path: &Path, text: Vec<u8>) -> Result<(), DriverError> {
    let temporary = with_suffix(path);
    write_to(&temporary, text).await?;
    rename(&temporary, path).await
}

/// Writes a file that nobody uses yet.
pub(super) async fn write_to(path: &Path, text: Vec<u8>) -> Result<(), DriverError> {
    let place = path.to_owned();
    let failed = |source| DriverError::File { what: "write", path: path.to_owned(), source };
    let written = tokio::task::spawn_blocking(move || {
        if let Some(folder) = place.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // One that is there may be open to others.
        remove_if_there(&place)?;
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&place)?;
        file.write_all(&text)?;
        file.sync_all()
    });
    written.await.map_err(std::io::Error::other).flatten().map_err(failed)
}

/// Puts a file in the place of another.
pub(super) async fn rename(from: &Path, to: &Path) -> Result<(), DriverError> {
    let failed = |source| DriverError::File { what: "replace", path: to.to_owned(), source };
    tokio::fs::rename(from, to).await.map_err(failed)?;
    let Some(folder) = to.parent() else { return Ok(()) };
    let folder = tokio::fs::File::open(folder).await.map_err(failed)?;
    folder.sync_all().await.map_err(failed)
}

/// Removes a file, if there is one.
pub(super) async fn remove(path: &Path) -> Result<(), DriverError> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(DriverError::File { what: "remove", path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The names of files in a folder that end so.
pub(super) async fn names(folder: &Path, suffix: &str) -> Result<Vec<String>, DriverError> {
    let failed = |source| DriverError::File { what: "list", path: folder.to_owned(), source };
    let mut listed = match tokio::fs::read_dir(folder).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(failed)?,
    };
    let mut names = Vec::new();
    while let Some(entry) = listed.next_entry().await.map_err(failed)? {
        names.extend(entry.file_name().into_string().ok().filter(|name| name.ends_with(suffix)));
    }
    Ok(names)
}

fn with_suffix(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}
