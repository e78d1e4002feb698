//! What the lab keeps on disk. Everything is written before the thing it speaks of is made, so that whatever a crash leaves
//! can be found and removed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::addresses::{CAPACITY, Index};
use crate::backend::Backend;
use crate::error::LabError;
use crate::spec::ClusterSpec;

/// On disk rather than in memory (/run): images and object stores are larger than what a small machine gives /run.
const HOME: &str = "/var/lib/skyfleet-lab";

/// The folder of all labs: `SKYFLEET_LAB_DIR`, or /var/lib/skyfleet-lab.
fn base() -> PathBuf {
    std::env::var_os("SKYFLEET_LAB_DIR").map_or_else(|| PathBuf::from(HOME), PathBuf::from)
}

/// The folder of one lab.
///
/// # Errors
/// When the name is unfit for a folder, or the current folder (for a relative `SKYFLEET_LAB_DIR`) is gone.
pub(crate) fn lab_folder(lab: &str) -> Result<PathBuf, LabError> {
    check_name(lab)?;
    let folder = base().join(lab);
    std::path::absolute(&folder).map_err(LabError::file("find", &folder))
}

/// The names of the labs that are on disk.
///
/// # Errors
/// When the folder cannot be read.
pub fn labs() -> Result<Vec<String>, LabError> {
    let names = file_names(&base())?;
    Ok(names.into_iter().filter(|name| check_name(name).is_ok()).collect())
}

/// Names become folders, node names and DNS labels; 20 characters keep socket paths under the kernel's 108.
pub(crate) fn check_name(name: &str) -> Result<(), LabError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fit = (1..=20).contains(&name.len())
        && name.chars().all(|c| plain(c) || c == '-')
        && name.starts_with(plain)
        && name.ends_with(plain);
    if fit { Ok(()) } else { Err(LabError::Name { name: name.to_owned() }) }
}

/// The clusters a lab should have, and what makes them: `state.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LabState {
    /// Labs of an earlier version say nothing: they are of the default.
    #[serde(default)]
    pub(crate) backend: Backend,
    pub(crate) clusters: Vec<ClusterSpec>,
}

impl LabState {
    /// The state in the lab's folder, or None when there is no such lab.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, LabError> {
        let path = folder.join("state.json");
        match fs::read(&path) {
            Ok(bytes) => {
                let damaged = |error: serde_json::Error| LabError::State { path, reason: error.to_string() };
                serde_json::from_slice(&bytes).map(Some).map_err(damaged)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LabError::file("read", &path)(error)),
        }
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), LabError> {
        let path = folder.join("state.json");
        let damaged = |error: serde_json::Error| LabError::State { path: path.clone(), reason: error.to_string() };
        write_atomically(&path, &serde_json::to_vec_pretty(self).map_err(damaged)?)
    }
}

/// Replaces a file as a whole: a reader, or a crash, sees the old or the new content.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), LabError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(LabError::file("make the folder", folder))?;
    // One name for the unfinished file, so that crashes do not pile them up: each file has one writer, under a lock.
    let unfinished = path.with_added_extension("new");
    fs::write(&unfinished, content).and_then(|()| fs::rename(&unfinished, path)).map_err(LabError::file("write", path))
}

/// Held while a command changes a lab; a second command waits.
#[derive(Debug)]
pub(crate) struct LabLock {
    path: PathBuf,
    #[expect(dead_code, reason = "the lock is held as long as the file is open")]
    file: File,
}

impl LabLock {
    pub(crate) async fn acquire(lab: &str) -> Result<Self, LabError> {
        let path = base().join(".locks").join(lab);
        loop {
            let file = open_lock(&path)?;
            while file.try_lock().is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // Whoever held it before may have removed the file with the lab: then it locks nothing.
            let inode = |metadata: io::Result<fs::Metadata>| metadata.map(|metadata| metadata.ino()).ok();
            if inode(file.metadata()) == inode(fs::metadata(&path)) {
                return Ok(Self { path, file });
            }
        }
    }

    /// Removes the lock's file, when there is no lab any more.
    pub(crate) fn remove(self) -> Result<(), LabError> {
        remove_file(&self.path)
    }
}

fn open_lock(path: &Path) -> Result<File, LabError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(LabError::file("make the folder", folder))?;
    }
    File::create(path).map_err(LabError::file("open", path))
}

/// The machine-wide ledger of who holds which [`Index`]: one file a number, holding the cluster's folder.
/// It does not follow `SKYFLEET_LAB_DIR`: namespaces and addresses are the machine's.
#[derive(Debug)]
pub(crate) struct Claims {
    folder: PathBuf,
    #[expect(dead_code, reason = "the lock is held as long as the file is open")]
    lock: File,
}

impl Claims {
    /// Waits until no other process holds the ledger, which is never for long.
    pub(crate) fn open() -> Result<Self, LabError> {
        Self::open_in(Path::new(HOME).join(".addresses"))
    }

    fn open_in(folder: PathBuf) -> Result<Self, LabError> {
        let lock_path = folder.join(".lock");
        let lock = open_lock(&lock_path)?;
        lock.lock().map_err(LabError::file("lock", &lock_path))?;
        Ok(Self { folder, lock })
    }

    /// The number of the cluster in `cluster_folder`: the one it has, or the first free one.
    pub(crate) fn claim(&self, cluster_folder: &Path) -> Result<Index, LabError> {
        let taken = self.all()?;
        if let Some((index, _)) = taken.iter().find(|(_, folder)| folder == cluster_folder) {
            return Ok(*index);
        }
        let free = (0..CAPACITY).map(Index).find(|index| taken.iter().all(|(other, _)| other != index));
        let index = free.ok_or(LabError::AddressesUsedUp(CAPACITY))?;
        write_atomically(&self.path(index), cluster_folder.as_os_str().as_encoded_bytes())?;
        Ok(index)
    }

    /// The clusters whose folders are in `lab_folder`, whether or not the folders exist.
    pub(crate) fn of_lab(&self, lab_folder: &Path) -> Result<Vec<(Index, PathBuf)>, LabError> {
        Ok(self.all()?.into_iter().filter(|(_, folder)| folder.parent() == Some(lab_folder)).collect())
    }

    /// Whether no cluster is left on the machine.
    pub(crate) fn is_empty(&self) -> Result<bool, LabError> {
        Ok(self.all()?.is_empty())
    }

    /// The folders of all clusters on the machine.
    pub(crate) fn folders(&self) -> Result<Vec<PathBuf>, LabError> {
        Ok(self.all()?.into_iter().map(|(_, folder)| folder).collect())
    }

    pub(crate) fn release(&self, index: Index) -> Result<(), LabError> {
        remove_file(&self.path(index))
    }

    /// Where a setting of the machine is kept while labs have changed it.
    pub(crate) fn saved_setting(&self, name: &str) -> PathBuf {
        self.folder.join(format!("saved-{name}"))
    }

    fn path(&self, index: Index) -> PathBuf {
        self.folder.join(index.0.to_string())
    }

    fn all(&self) -> Result<Vec<(Index, PathBuf)>, LabError> {
        let mut claims = Vec::new();
        for index in file_names(&self.folder)?.iter().filter_map(|name| name.parse().ok()).map(Index) {
            let path = self.path(index);
            let folder = fs::read_to_string(&path).map_err(LabError::file("read", &path))?;
            claims.push((index, PathBuf::from(folder)));
        }
        Ok(claims)
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove_file(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LabError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The names in a folder, none when there is no such folder.
pub(crate) fn file_names(folder: &Path) -> Result<Vec<String>, LabError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(LabError::file("read", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(LabError::file("read", folder))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_keeps_its_number_and_a_released_one_is_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::open_in(folder.path().into()).unwrap();
        let hub = claims.claim(Path::new("/labs/a/hub")).unwrap();
        let aws = claims.claim(Path::new("/labs/a/aws-1")).unwrap();
        let other = claims.claim(Path::new("/labs/b/hub")).unwrap();
        assert_eq!((hub, aws, other), (Index(0), Index(1), Index(2)));
        assert_eq!(claims.claim(Path::new("/labs/a/aws-1")).unwrap(), aws);
        let of_a: Vec<Index> =
            claims.of_lab(Path::new("/labs/a")).unwrap().into_iter().map(|(index, _)| index).collect();
        assert_eq!(of_a, [hub, aws]);

        claims.release(hub).unwrap();
        claims.release(hub).unwrap();
        assert_eq!(claims.claim(Path::new("/labs/c/hub")).unwrap(), hub);
    }

    #[test]
    fn the_ledger_says_when_it_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::open_in(folder.path().into()).unwrap();
        for cluster in 0..CAPACITY {
            claims.claim(&PathBuf::from(format!("/labs/a/{cluster}"))).unwrap();
        }
        assert!(matches!(claims.claim(Path::new("/labs/a/one-more")), Err(LabError::AddressesUsedUp(CAPACITY))));
    }

    #[test]
    fn names_that_would_leave_the_folder_or_no_dns_label_are_refused() {
        for name in ["", "..", "a/b", "-a", "a-", "A", ".locks", "a_b", "abcdefghijklmnopqrstu"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["demo", "aws-1", "a", "abcdefghijklmnopqrst"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn state_survives_a_round_trip_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(LabState::read(folder.path()).unwrap(), None);
        let state = LabState { backend: Backend::Kind, clusters: vec![ClusterSpec::with_pods("hub")] };
        state.write(folder.path()).unwrap();
        assert_eq!(LabState::read(folder.path()).unwrap(), Some(state));
        fs::write(folder.path().join("state.json"), r#"{"clusters": []}"#).unwrap();
        assert_eq!(LabState::read(folder.path()).unwrap().unwrap().backend, Backend::Namespaces);
        fs::write(folder.path().join("state.json"), "{").unwrap();
        assert!(matches!(LabState::read(folder.path()), Err(LabError::State { .. })));
    }
}
