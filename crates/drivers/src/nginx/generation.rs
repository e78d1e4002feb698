//! Generations of files: each in a folder of its own, which is never written again once a link leads to it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::settings::Settings;
use super::text::digest;
use super::wanted::Files;
use super::{control, files};
use crate::DriverError;
use crate::files::{failed, names, remove};

/// How names of files end that only their owner reads.
const PRIVATE: &str = ".client.key";
/// Of all files of a generation.
const MOST_BYTES: u64 = 64 << 20;

/// The name of a generation that is the `number`th with these files.
pub(super) fn name(files: &Files, number: u64) -> String {
    let texts = files.iter().flat_map(|(name, text)| [name.as_bytes(), text]);
    format!("{}-{number}", &digest(texts)[..16])
}

/// The id of what was wanted, if the files are those that were written.
pub(super) fn wanted(generation: &str, files: &Files, settings: &Settings) -> Option<String> {
    let mut files = files.clone();
    let own = files.remove(control::FILE)?;
    let number = generation.rsplit_once('-')?.1.parse().ok()?;
    let is_whole = own == control::text(generation, settings).into_bytes() && name(&files, number) == generation;
    if is_whole { files::wanted(&files) } else { None }
}

/// Writes a generation that has never been there, and tells its name.
pub(super) async fn write(files: &Files, settings: &Settings) -> Result<String, DriverError> {
    let all = settings.generations();
    fs::create_dir_all(&all).await.map_err(failed("make", &all))?;
    let numbers = names(&all).await?.into_iter().filter_map(|name| name.rsplit_once('-')?.1.parse::<u64>().ok());
    let name = name(files, numbers.max().map_or(1, |last| last + 1));
    let folder = all.join(&name);
    fs::create_dir(&folder).await.map_err(failed("make", &folder))?;
    for (file, text) in files {
        write_file(&folder.join(file), text, file.ends_with(PRIVATE)).await?;
    }
    write_file(&folder.join(control::FILE), control::text(&name, settings).as_bytes(), false).await?;
    let opened = fs::File::open(&folder).await.map_err(failed("open", &folder))?;
    opened.sync_all().await.map_err(failed("write", &folder))?;
    Ok(name)
}

async fn write_file(path: &Path, text: &[u8], is_private: bool) -> Result<(), DriverError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(if is_private { 0o600 } else { 0o644 });
    let mut file = options.open(path).await.map_err(failed("make", path))?;
    file.write_all(text).await.map_err(failed("write", path))?;
    file.sync_all().await.map_err(failed("write", path))
}

/// All files of a generation; none if it is not there.
pub(super) async fn read(name: &str, settings: &Settings) -> Result<Option<Files>, DriverError> {
    let folder = settings.generations().join(name);
    let (mut files, mut left) = (Files::new(), MOST_BYTES);
    for file in names(&folder).await? {
        let text = read_file(&folder.join(&file), left).await?;
        // What is cut off is not what was written either.
        left -= text.len() as u64;
        files.insert(file, text);
    }
    Ok((!files.is_empty()).then_some(files))
}

/// At most so many bytes; none of what is no file, which somebody else has made.
async fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, DriverError> {
    let mut text = Vec::new();
    match fs::File::open(path).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(text),
        opened => opened.map_err(failed("open", path))?.take(most).read_to_end(&mut text).await,
    }
    .or_else(|error| if error.kind() == ErrorKind::IsADirectory { Ok(0) } else { Err(error) })
    .map_err(failed("read", path))?;
    Ok(text)
}

/// Where a link leads to; none if it is not there or is not of ours.
pub(super) async fn linked(link: &Path) -> Result<Option<String>, DriverError> {
    match fs::read_link(link).await {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => Ok(None),
        target => {
            let target = target.map_err(failed("read", link))?;
            let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
            Ok(name.filter(|name| control::is_name(name)))
        }
    }
}

/// Makes a link lead to a generation, whether it is there or not. The link is never missing in between.
pub(super) async fn link(link: &Path, generation: &str, settings: &Settings) -> Result<(), DriverError> {
    let new = settings.folder.join("link");
    remove(&new).await?;
    // Relative, so that the folder may have other names for others, as in containers.
    fs::symlink(PathBuf::from("generations").join(generation), &new).await.map_err(failed("make", &new))?;
    fs::rename(&new, link).await.map_err(failed("replace", link))
}

/// Removes a folder with all that is in it, if it is there.
pub(super) async fn remove_folder(folder: &Path) -> Result<(), DriverError> {
    match fs::remove_dir_all(folder).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed("remove", folder)),
    }
}
