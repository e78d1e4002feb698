//! All files below a folder, in the byte order of their keys.

use std::fs;
use std::path::PathBuf;

use super::files;
use crate::{ObjectSummary, StoreErrorKind};

/// Folders within folders. A symbolic link that leads to a folder above it would go on for ever.
const DEEPEST: usize = 100;

/// Why the walk cannot go on: to leave a file out would look as if it were not there.
#[derive(Debug)]
pub(super) struct WalkError {
    pub(super) kind: StoreErrorKind,
    pub(super) detail: String,
}

/// A walk under way.
#[derive(Debug)]
pub(super) struct Walk {
    root: PathBuf,
    prefix: String,
    /// Only keys after it.
    after: Option<String>,
    /// What is left of the folders on the way, the innermost last; each in reverse order.
    folders: Vec<Vec<String>>,
    started: bool,
}

impl Walk {
    /// The files whose key starts with `prefix`, from the first one after `after` on.
    pub(super) fn new(root: PathBuf, prefix: String, after: Option<String>) -> Self {
        Self { root, prefix, after, folders: Vec::new(), started: false }
    }

    /// Whether a key, or any key below a folder (which ends with a slash), is wanted.
    fn wants(&self, key: &str) -> bool {
        let in_prefix = key.starts_with(&self.prefix) || (key.ends_with('/') && self.prefix.starts_with(key));
        let is_after = |after: &String| key > after.as_str() || (key.ends_with('/') && after.starts_with(key));
        in_prefix && self.after.as_ref().is_none_or(is_after)
    }

    /// What a folder holds that is wanted, last first. Folders have a slash at their end, which is what puts `a/b` behind `a.b`
    /// in the order of keys.
    fn enter(&self, folder: &str) -> Result<Vec<String>, WalkError> {
        let path = self.root.join(folder);
        let failed = |error: std::io::Error| WalkError {
            kind: files::kind(&error),
            detail: format!("{}: {error}", path.display()),
        };
        let mut keys = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().into_string().map_err(|name| WalkError {
                kind: StoreErrorKind::Rejected,
                detail: format!("the name of {} is not UTF-8: rename it", path.join(name).display()),
            })?;
            let mut kind = entry.file_type().map_err(failed)?;
            if kind.is_symlink() {
                kind = match fs::metadata(entry.path()) {
                    Ok(metadata) => metadata.file_type(),
                    // It leads nowhere: there is no content to speak of.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(failed(error)),
                };
            }
            let slash = if kind.is_dir() { "/" } else { "" };
            let key = format!("{folder}{name}{slash}");
            // Sockets and pipes hold no content.
            if (kind.is_dir() || kind.is_file()) && self.wants(&key) {
                keys.push(key);
            }
        }
        keys.sort_unstable_by(|one, other| other.cmp(one));
        Ok(keys)
    }

    fn advance(&mut self) -> Result<Option<ObjectSummary>, WalkError> {
        if !self.started {
            self.started = true;
            let top = self.enter("")?;
            self.folders.push(top);
        }
        while let Some(innermost) = self.folders.last_mut() {
            let Some(key) = innermost.pop() else {
                self.folders.pop();
                continue;
            };
            if key.ends_with('/') {
                if self.folders.len() >= DEEPEST {
                    let detail = format!("{key:?} is {DEEPEST} folders deep: does a symbolic link lead back?");
                    return Err(WalkError { kind: StoreErrorKind::Rejected, detail });
                }
                match self.enter(&key) {
                    Ok(keys) => self.folders.push(keys),
                    // Removed meanwhile.
                    Err(error) if error.kind == StoreErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
                continue;
            }
            let path = self.root.join(&key);
            match fs::metadata(&path) {
                Ok(metadata) => {
                    if let Some(head) = files::head(&metadata) {
                        let (size, etag, modified) = (head.size, head.etag, head.modified);
                        return Ok(Some(ObjectSummary { key, size, etag, modified, md5: None }));
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(WalkError {
                        kind: files::kind(&error),
                        detail: format!("{}: {error}", path.display()),
                    });
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Walk {
    type Item = Result<ObjectSummary, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::Walk;

    #[test]
    fn files_come_in_the_byte_order_of_keys_from_anywhere_on() {
        let folder = tempfile::tempdir().unwrap();
        let keys = ["a", "a-b", "a.b", "a/b", "a/b-c", "a/b/c", "a0", "b/.hidden", "é", "z/z/z"];
        for key in keys.iter().filter(|key| !["a", "a/b"].contains(key)) {
            let path = folder.path().join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, key).unwrap();
        }
        let walk = |prefix: &str, after: Option<&str>| -> Vec<String> {
            let walk = Walk::new(folder.path().to_owned(), prefix.to_owned(), after.map(str::to_owned));
            walk.map(|object| object.unwrap().key).collect()
        };
        let all = walk("", None);
        let mut sorted = all.clone();
        sorted.sort();
        assert_eq!((&all, all.len()), (&sorted, 8));
        for (index, key) in all.iter().enumerate() {
            assert_eq!(walk("", Some(key)), all[index + 1..], "after {key}");
        }
        assert_eq!(walk("a/b", None), ["a/b-c", "a/b/c"]);
        assert_eq!(walk("a/b/", None), ["a/b/c"]);
        assert!(walk("nothing/", None).is_empty());
    }

    #[test]
    fn what_would_be_left_out_silently_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        let mut walk = Walk::new(folder.path().to_owned(), String::new(), None);
        assert!(walk.next().unwrap().unwrap_err().detail.contains("symbolic link"));
        std::fs::remove_file(folder.path().join("loop")).unwrap();
        let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
        std::fs::write(folder.path().join(name), "x").unwrap();
        let mut walk = Walk::new(folder.path().to_owned(), String::new(), None);
        assert!(walk.next().unwrap().unwrap_err().detail.contains("not UTF-8"));
    }
}
