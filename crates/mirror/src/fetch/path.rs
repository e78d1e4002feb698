//! Which key becomes which file: pure.

use std::path::PathBuf;

use crate::{Manifest, ManifestEntry};

/// A key that cannot be a path below a directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key {key:?} cannot be a file's path: {reason}")]
pub struct UnsafeKey {
    key: String,
    reason: &'static str,
}

/// A file to be, or a folder where the key ends with `/`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlannedFile<'a> {
    pub(super) entry: &'a ManifestEntry,
    pub(super) path: PathBuf,
    pub(super) is_folder: bool,
}

/// The files of all entries whose key starts with `prefix`.
pub(super) fn plan<'a>(manifest: &'a Manifest, prefix: &str) -> Result<Vec<PlannedFile<'a>>, UnsafeKey> {
    let below = manifest.entries().iter().filter_map(|entry| Some((entry, entry.key.strip_prefix(prefix)?)));
    // The marker of the folder itself is no file in it.
    let inside = below.filter(|(entry, rest)| !(rest.is_empty() && entry.key.ends_with('/')));
    inside.map(|(entry, rest)| file(entry, relative(&entry.key, prefix, rest))).collect()
}

/// `models` names the folder as well as `models/` does; an object that the prefix names whole keeps its last name.
fn relative<'a>(key: &'a str, prefix: &str, rest: &'a str) -> &'a str {
    match rest {
        "" => key.rsplit('/').next().unwrap_or_default(),
        _ if prefix.is_empty() || prefix.ends_with('/') => rest,
        _ => rest.strip_prefix('/').unwrap_or(rest),
    }
}

fn file<'a>(entry: &'a ManifestEntry, rest: &str) -> Result<PlannedFile<'a>, UnsafeKey> {
    let is_folder = entry.size == 0 && rest.ends_with('/');
    let path = if is_folder { rest.strip_suffix('/').unwrap_or(rest) } else { rest };
    match reason_against(path) {
        Some(reason) => Err(UnsafeKey { key: entry.key.clone(), reason }),
        None => Ok(PlannedFile { entry, path: path.into(), is_folder }),
    }
}

fn reason_against(path: &str) -> Option<&'static str> {
    if path.starts_with('/') {
        return Some("it is absolute: the dataset's prefix may lack its last slash");
    }
    if path.contains('\0') {
        return Some("it has a NUL character");
    }
    path.split('/').find_map(|name| match name {
        "" => Some("it has an empty folder or file name"),
        "." | ".." => Some("it has a folder named . or .."),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::plan;
    use crate::{Manifest, ManifestEntry, Sha256};
    use proptest::prelude::*;
    use std::path::Component;

    fn manifest(keys: &[&str]) -> Manifest {
        let entry = |key: &&str| ManifestEntry { key: (*key).to_owned(), size: 0, sha256: Sha256::of(b"") };
        Manifest::new(keys.iter().map(entry).collect()).unwrap()
    }

    fn paths(keys: &[&str], prefix: &str) -> Vec<String> {
        plan(&manifest(keys), prefix).unwrap().iter().map(|file| file.path.display().to_string()).collect()
    }

    #[test]
    fn the_rest_of_the_key_is_the_path() {
        let keys = ["m/a.bin", "m/sub/b c+%.bin", "n/x"];
        assert_eq!(paths(&keys, ""), keys);
        assert_eq!(paths(&keys, "m/"), ["a.bin", "sub/b c+%.bin"]);
        assert_eq!(paths(&keys, "m"), ["a.bin", "sub/b c+%.bin"]);
        assert_eq!(paths(&keys, "m/a.bin"), ["a.bin"]);
        assert!(paths(&keys, "z").is_empty());
    }

    #[test]
    fn a_folder_marker_is_a_folder() {
        let manifest = manifest(&["m/", "m/empty/"]);
        let files = plan(&manifest, "m/").unwrap();
        assert_eq!(files.len(), 1);
        assert!(files[0].is_folder && files[0].path.to_str() == Some("empty"));
    }

    #[test]
    fn keys_that_leave_the_directory_or_have_no_path_are_refused() {
        for key in ["../x", "a/../x", "/etc/passwd", "a//b", "a/./b", "..", ".", "a\0b", "//"] {
            assert!(plan(&manifest(&[key]), "").is_err(), "{key:?}");
        }
        assert!(plan(&manifest(&["m//etc"]), "m/").is_err());
    }

    proptest! {
        #[test]
        fn no_path_ever_leaves_the_directory(key in "[a./\0]{1,8}", cut in 0..8_usize) {
            let prefix = key.get(..cut.min(key.len())).unwrap_or_default();
            if let Ok(files) = plan(&manifest(&[&key]), prefix) {
                for file in files {
                    prop_assert!(file.path.components().all(|part| matches!(part, Component::Normal(_))));
                    prop_assert!(file.path.components().count() > 0);
                }
            }
        }
    }
}
