//! What is mounted below a folder.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use crate::error::LabError;

/// Unmounts everything at and below `folder`, last mounted first. What is still in use goes when its last user ends.
pub(crate) fn unmount_below(folder: &Path) -> Result<(), LabError> {
    for mount in mounts()?.into_iter().rev().filter(|mount| mount.starts_with(folder)) {
        match umount2(&mount, MntFlags::MNT_DETACH) {
            // Gone meanwhile, with the mount it was in.
            Ok(()) | Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => {}
            Err(error) => return Err(LabError::file("unmount", &mount)(error.into())),
        }
    }
    Ok(())
}

/// Whether something is mounted at exactly this path.
pub(crate) fn is_mounted(path: &Path) -> Result<bool, LabError> {
    Ok(mounts()?.iter().any(|mount| mount == path))
}

fn mounts() -> Result<Vec<PathBuf>, LabError> {
    let path = Path::new("/proc/self/mountinfo");
    let table = fs::read_to_string(path).map_err(LabError::file("read", path))?;
    Ok(table.lines().filter_map(mount_point).collect())
}

/// The fifth field; the kernel writes a space as `\040`.
fn mount_point(line: &str) -> Option<PathBuf> {
    line.split(' ').nth(4).map(|field| PathBuf::from(field.replace("\\040", " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_point_is_the_fifth_field() {
        let line = "36 35 98:0 /root /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(mount_point(line), Some(PathBuf::from("/mnt/a b")));
    }
}
