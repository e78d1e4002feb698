//! Settings of the machine's kernel that a lab needs, and their undoing.

use std::fs;
use std::path::Path;

use crate::error::LabError;
use crate::state::{Claims, remove_file, write_atomically};

struct Setting {
    name: &'static str,
    path: &'static str,
    least: u64,
}

const SETTINGS: [Setting; 3] = [
    // The machine is the router between the clusters.
    Setting { name: "ip_forward", path: "/proc/sys/net/ipv4/ip_forward", least: 1 },
    // A cluster with a node holds some fifteen instances; with the usual 128, the eighth fails with "too many open files".
    Setting { name: "max_user_instances", path: "/proc/sys/fs/inotify/max_user_instances", least: 1024 },
    Setting { name: "max_user_watches", path: "/proc/sys/fs/inotify/max_user_watches", least: 524_288 },
];

/// Raises what is too low, and keeps what it was before the first lab. Under the ledger's lock, so that no lab restores what
/// another one needs.
pub(crate) fn raise(claims: &Claims) -> Result<(), LabError> {
    for setting in &SETTINGS {
        let path = Path::new(setting.path);
        let before = fs::read_to_string(path).map_err(LabError::file("read", path))?;
        if before.trim().parse::<u64>().is_ok_and(|value| value >= setting.least) {
            continue;
        }
        let saved = claims.saved_setting(setting.name);
        if !saved.exists() {
            write_atomically(&saved, before.as_bytes())?;
        }
        fs::write(path, setting.least.to_string()).map_err(LabError::file("write", path))?;
    }
    Ok(())
}

/// Gives the machine back what [`raise`] found.
pub(crate) fn restore(claims: &Claims) -> Result<(), LabError> {
    for setting in &SETTINGS {
        let saved = claims.saved_setting(setting.name);
        if saved.exists() {
            let before = fs::read(&saved).map_err(LabError::file("read", &saved))?;
            fs::write(setting.path, before).map_err(LabError::file("write", Path::new(setting.path)))?;
            remove_file(&saved)?;
        }
    }
    Ok(())
}
