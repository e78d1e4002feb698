//! Finds the files that a person means.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;

/// What a manifest's file is called in a folder; one that is named itself may be called anything.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// A file and what it says.
pub(super) struct File {
    pub(super) name: String,
    pub(super) text: String,
}

/// Reads files, and what folders hold all the way down, in the order of their names; `-` is standard input. A file that is
/// named twice is read once.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<File>, Failure> {
    let mut search = Search::default();
    for path in paths {
        search.named(path)?;
    }
    Ok(search.files)
}

#[derive(Default)]
struct Search {
    files: Vec<File>,
    /// What was looked at already, whatever links lead there.
    seen: BTreeSet<PathBuf>,
}

impl Search {
    fn named(&mut self, path: &Path) -> Result<(), Failure> {
        if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(failure(path))?;
            self.files.push(File { name: "standard input".to_owned(), text });
            return Ok(());
        }
        if !std::fs::metadata(path).map_err(failure(path))?.is_dir() {
            return self.file(path);
        }
        let before = self.seen.len();
        self.folder(path)?;
        // A folder that was read as a part of another adds nothing, and lacks nothing.
        if self.seen.len() == before + 1 {
            let reason = format!("no file in this folder ends with .{}", EXTENSIONS.join(", ."));
            return Err(Failure::Manifest { place: path.display().to_string(), reason });
        }
        Ok(())
    }

    fn folder(&mut self, path: &Path) -> Result<(), Failure> {
        if !self.is_new(path)? {
            return Ok(());
        }
        let entries = std::fs::read_dir(path).map_err(failure(path))?;
        let entries = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<BTreeSet<_>, _>>();
        for entry in entries.map_err(failure(path))? {
            let hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            let extension = entry.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if hidden {
                continue;
            }
            if std::fs::metadata(&entry).map_err(failure(&entry))?.is_dir() {
                self.folder(&entry)?;
            } else if EXTENSIONS.contains(&extension) {
                self.file(&entry)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        if self.is_new(path)? {
            let text = std::fs::read_to_string(path).map_err(failure(path))?;
            self.files.push(File { name: path.display().to_string(), text });
        }
        Ok(())
    }

    fn is_new(&mut self, path: &Path) -> Result<bool, Failure> {
        Ok(self.seen.insert(path.canonicalize().map_err(failure(path))?))
    }
}

fn failure(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::Manifest { place: path.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::read;

    fn names(folder: &Path, paths: &[&str]) -> Vec<String> {
        let paths: Vec<_> = paths.iter().map(|path| folder.join(path)).collect();
        let files = read(&paths).unwrap();
        files.iter().map(|file| Path::new(&file.name).file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn folders_are_read_all_the_way_down_and_each_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str| std::fs::write(folder.path().join(path), "").unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        std::fs::create_dir_all(folder.path().join(".git")).unwrap();
        for path in ["z.yaml", "a.json", "b/m.yml", "b/c/n.yaml", "b/README.md", ".git/x.yaml", ".hidden.yaml"] {
            write(path);
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/loop")).unwrap();
        assert_eq!(names(folder.path(), &[""]), ["a.json", "n.yaml", "m.yml", "z.yaml"]);
        assert_eq!(
            names(folder.path(), &["b/README.md", "z.yaml", "", "z.yaml"]),
            ["README.md", "z.yaml", "a.json", "n.yaml", "m.yml"]
        );
    }

    #[test]
    fn what_is_missing_or_empty_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (path, said) in [("no-such", "No such file"), ("", "no file in this folder")] {
            let error = read(&[folder.path().join(path)]).err().expect("it is refused");
            assert!(error.to_string().contains(said) && error.exit_status() == 4, "{error}");
        }
    }
}
