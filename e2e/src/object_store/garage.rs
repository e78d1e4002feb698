//! The program Garage, from crates.io. It is under the AGPL: it is run as a program of its own and nothing links to it.

use std::path::PathBuf;

use crate::error::LabError;
use crate::tools::{built, install_from_crates};

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
        install_from_crates(folder, "garage", GARAGE_VERSION, &["--no-default-features", "--features", FEATURES])
    })?;
    Ok(folder.join("bin/garage"))
}
