//! The program Garage, from crates.io. It is under the AGPL: it is run as a program of its own and nothing links to it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::error::LabError;
use crate::tools::{built, cache_folder, run};

/// The version of the server, from crates.io.
pub const GARAGE_VERSION: &str = "2.5.0";

/// One database engine, and no C library that the machine would have to have.
const FEATURES: &str = "bundled-libs,sqlite";

/// The `garage` program; the first call builds it, in about ten minutes. Blocks: call it off the async threads where
/// others wait.
///
/// # Errors
/// When the build fails.
pub fn garage_binary() -> Result<PathBuf, LabError> {
    let folder = built("garage", &[GARAGE_VERSION.as_bytes(), FEATURES.as_bytes()], |folder| {
        eprintln!("building Garage {GARAGE_VERSION} (once on this machine, about ten minutes)");
        // A build that was interrupted goes on where it was; what the compiler leaves is ten times the program.
        let target = cache_folder().join("garage-target");
        let mut install = Command::new("cargo");
        install.args(["install", "garage", "--version", GARAGE_VERSION, "--locked", "--quiet"]);
        install.args(["--no-default-features", "--features", FEATURES, "--no-track"]);
        install.arg("--root").arg(folder).arg("--target-dir").arg(&target);
        run(&mut install)?;
        fs::remove_dir_all(&target).map_err(LabError::file("remove", &target))
    })?;
    Ok(folder.join("bin/garage"))
}
