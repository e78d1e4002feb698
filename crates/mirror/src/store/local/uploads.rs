//! Files that are not whole yet: they lie below `.skyfleet/uploads/` and get their name when they are.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::files;
use crate::store::upload_id::family;
use crate::{ObjectHead, Payload, RESERVED_PREFIX, Written};

/// Tells uploads of this process apart.
static COUNT: AtomicU64 = AtomicU64::new(0);

fn folder(root: &Path) -> PathBuf {
    root.join(RESERVED_PREFIX).join("uploads")
}

/// A name that no other upload has, which tells the key.
fn unique(key: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{}-{}-{count}", family(key), std::process::id(), now.as_nanos())
}

/// Writes a file so that it is there whole or not at all; gives what is said of it then.
pub(super) fn write_whole(root: &Path, key: &str, file: &Path, payload: &Payload) -> io::Result<Written> {
    fs::create_dir_all(folder(root))?;
    let unfinished = folder(root).join(unique(key));
    let written = File::create_new(&unfinished).and_then(|mut out| {
        payload.pieces().try_for_each(|piece| out.write_all(piece))?;
        finish(&out, &unfinished, file)
    });
    if written.is_err() {
        let _gone_already = fs::remove_file(&unfinished);
    }
    written
}

/// Gives a file its name, once the disk has it.
fn finish(out: &File, unfinished: &Path, file: &Path) -> io::Result<Written> {
    out.sync_all()?;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                io::Error::other(format!("a file is where the folder {} should be", folder.display()))
            }
            _ => error,
        })?;
    }
    fs::rename(unfinished, file)?;
    let head = files::head(&fs::metadata(file)?);
    let written = |head: ObjectHead| Written { etag: head.etag, modified: Some(head.modified), checksum: None };
    Ok(head.map(written).unwrap_or_default())
}

/// Begins a file of parts; gives its name.
pub(super) fn begin(root: &Path, key: &str) -> io::Result<String> {
    let upload = unique(key);
    fs::create_dir_all(folder(root).join(&upload))?;
    Ok(upload)
}

/// Where a part lies.
pub(super) fn part(root: &Path, upload: &str, number: u32) -> PathBuf {
    folder(root).join(upload).join(number.to_string())
}

/// Writes one part.
pub(super) fn write_part(part: &Path, payload: &Payload) -> io::Result<()> {
    let mut out = File::create(part)?;
    payload.pieces().try_for_each(|piece| out.write_all(piece))?;
    // Another pass may go on from here, also after the machine has lost its power.
    out.sync_data()
}

/// Makes the file of its parts 1 to `count`.
pub(super) fn complete(root: &Path, file: &Path, upload: &str, count: u32) -> io::Result<Written> {
    let whole = folder(root).join(upload).join("whole");
    let mut out = File::create(&whole).map_err(|error| io::Error::other(format!("its parts are gone: {error}")))?;
    for number in 1..=count {
        let part = part(root, upload, number);
        // Not "not found", which would say that the object was made of them already.
        let gone = |error: io::Error| io::Error::other(format!("part {number} is gone: {error}"));
        // The kernel copies, or shares the blocks where the file system can.
        io::copy(&mut File::open(&part).map_err(gone)?, &mut out)?;
        fs::remove_file(&part)?;
    }
    let written = finish(&out, &whole, file)?;
    abort(root, upload)?;
    Ok(written)
}

/// Throws away what any upload of this key has left.
pub(super) fn abort_leftovers(root: &Path, key: &str) -> io::Result<()> {
    let family = family(key);
    let entries = match fs::read_dir(folder(root)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(family.as_bytes()) {
            continue;
        }
        let is_folder = entry.file_type()?.is_dir();
        if is_folder { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    Ok(())
}

/// Throws the parts away.
pub(super) fn abort(root: &Path, upload: &str) -> io::Result<()> {
    match fs::remove_dir_all(folder(root).join(upload)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{begin, complete, part};
    use std::io::ErrorKind;

    #[test]
    fn parts_that_are_gone_leave_what_was_there_and_are_no_success() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("object");
        std::fs::write(&file, "old").unwrap();
        let upload = begin(root.path(), "object").unwrap();
        std::fs::write(part(root.path(), &upload, 1), "new").unwrap();
        for (upload, count) in [(upload.as_str(), 2), ("unknown", 1)] {
            let error = complete(root.path(), &file, upload, count).unwrap_err();
            assert!(error.kind() != ErrorKind::NotFound && error.to_string().contains("gone"), "{error}");
            assert_eq!(std::fs::read(&file).unwrap(), b"old");
        }
    }
}
