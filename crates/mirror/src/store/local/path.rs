//! Which file a key is: pure.

use std::path::{Path, PathBuf};

/// What file systems take as one part of a path, in bytes.
const LONGEST_PART: usize = 255;

/// The file of a key below a folder; the error says why no file can have it.
pub(super) fn of_key(root: &Path, key: &str) -> Result<PathBuf, &'static str> {
    let mut path = root.to_owned();
    for part in key.split('/') {
        match part {
            "" => return Err("a path has no empty part: the key begins or ends with a slash, or has two in a row"),
            "." | ".." => return Err("a part of the key is . or .., which names another folder"),
            _ if part.contains('\0') => return Err("a path has no NUL"),
            _ if part.len() > LONGEST_PART => return Err("a part of the key is longer than 255 bytes"),
            _ => path.push(part),
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::of_key;
    use std::path::Path;

    #[test]
    fn a_key_never_leaves_the_folder() {
        let root = Path::new("/data");
        assert_eq!(of_key(root, "a/b c\n").unwrap(), Path::new("/data/a/b c\n"));
        for key in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\0b", &"x".repeat(256)] {
            assert!(of_key(root, key).is_err(), "{key:?}");
        }
    }
}
