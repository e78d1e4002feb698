//! Programs and images that the lab builds once a machine and keeps in `${SKYFLEET_CACHE:-$HOME/.cache/skyfleet}/tools`.

mod kubernetes;
mod pause;
mod registries;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::error::LabError;
use crate::image::hex;

pub use kubernetes::{KUBERNETES_VERSION, kubernetes};
pub use pause::{PAUSE_IMAGE, pause_image};
pub use registries::{install_from_crates, install_from_npm, install_from_pypi};

/// The folder of everything Skyfleet keeps between runs on this machine.
#[must_use]
pub fn cache_folder() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache/skyfleet");
    std::env::var_os("SKYFLEET_CACHE").map_or_else(home, PathBuf::from)
}

/// The folder `tools/<name>-<key>` of the cache, filled by `build` when it is not there yet. `inputs` is everything the
/// outcome depends on (sources, flags, compiler version): other inputs give another folder. `build` gets an empty folder to
/// fill, which appears under its final name only when complete; of two processes one builds and the other waits.
/// Blocks: call it off the async threads.
///
/// # Errors
/// Those of `build`, and when the cache cannot be written.
pub fn built(
    name: &str,
    inputs: &[&[u8]],
    build: impl FnOnce(&Path) -> Result<(), LabError>,
) -> Result<PathBuf, LabError> {
    let tools = cache_folder().join("tools");
    let folder = tools.join(format!("{name}-{}", key(inputs)));
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&tools).map_err(LabError::file("make the folder", &tools))?;
    let lock_path = tools.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(LabError::file("open", &lock_path))?;
    lock.lock().map_err(LabError::file("lock", &lock_path))?;
    if folder.is_dir() {
        return Ok(folder);
    }
    // One name for the unfinished folder, so that builds that were killed do not pile up.
    let unfinished = tools.join(format!(".{name}"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(LabError::file("remove", &unfinished))?;
    }
    fs::create_dir(&unfinished).map_err(LabError::file("make the folder", &unfinished))?;
    build(&unfinished)?;
    fs::rename(&unfinished, &folder).map_err(LabError::file("put into place", &folder))?;
    Ok(folder)
}

/// 12 hexadecimal digits over the inputs; each is preceded by its length so that moving a border changes the key.
fn key(inputs: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    hex(&hash.finalize()[..6])
}

/// Runs a build command to its end and returns its standard output.
///
/// # Errors
/// When it cannot start or fails, with its standard error.
pub fn run(command: &mut Command) -> Result<String, LabError> {
    let outcome = command.output();
    let line = format!("{command:?}");
    match outcome {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            Err(LabError::Command { command: line, reason: format!("{}\n{}", output.status, errors.trim()) })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let program = command.get_program().to_string_lossy();
            Err(LabError::Missing(format!("{program} is missing: install it and see that it is in PATH")))
        }
        Err(error) => Err(LabError::Command { command: line, reason: error.to_string() }),
    }
}

/// `go` as the lab's builds use it: static programs that do not name the folder they were built in.
#[must_use]
pub fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(folder).env("CGO_ENABLED", "0");
    command
}

/// A program of Go's module proxy, `package` at `version`, built once into `tools/<name>-<key>`. Blocks.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn go_program(name: &str, package: &str, version: &str) -> Result<PathBuf, LabError> {
    let anywhere = std::env::temp_dir();
    let compiler = go_version(&anywhere)?;
    let folder = built(name, &[version.as_bytes(), compiler.as_bytes()], |folder| {
        eprintln!("building {name} {version} (once on this machine, two or three minutes)");
        let package = format!("{package}@{version}");
        run(go(&anywhere).env("GOBIN", folder).args(["install", "-trimpath", "-ldflags", "-s -w", &package]))?;
        Ok(())
    })?;
    Ok(folder.join(package.rsplit('/').next().unwrap_or(package)))
}

/// The version of the Go compiler that builds in `folder`, an input of everything built by it.
///
/// # Errors
/// When Go is missing.
pub fn go_version(folder: &Path) -> Result<String, LabError> {
    run(go(folder).args(["env", "GOVERSION"]))
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn the_key_depends_on_every_input_and_on_where_it_ends() {
        assert_eq!(key(&[b"ab", b"c"]), key(&[b"ab", b"c"]));
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"ab", b"d"]));
    }
}
