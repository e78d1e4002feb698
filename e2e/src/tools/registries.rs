//! Installs from the registries of Rust, Node.js and Python, into a folder such as [`super::built`] gives to fill.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{cache_folder, run};
use crate::error::LabError;

/// Builds a program of crates.io with the dependencies that its authors locked. It is in the folder's `bin` then.
///
/// # Errors
/// When the build fails.
pub fn install_from_crates(folder: &Path, name: &str, version: &str, arguments: &[&str]) -> Result<(), LabError> {
    // A build that was interrupted goes on where it was; what the compiler leaves is ten times the program.
    let target = cache_folder().join(format!("{name}-target"));
    let mut install = Command::new("cargo");
    install.args(["install", name, "--version", version, "--locked", "--quiet", "--no-track"]).args(arguments);
    install.arg("--root").arg(folder).arg("--target-dir").arg(&target);
    run(&mut install)?;
    fs::remove_dir_all(&target).map_err(LabError::file("remove", &target))
}

/// Installs a package of npm without its scripts. It is in the folder's `node_modules` then.
///
/// # Errors
/// When npm is missing or the installation fails.
pub fn install_from_npm(folder: &Path, package: &str, version: &str) -> Result<(), LabError> {
    let mut install = Command::new("npm");
    install.args(["install", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]);
    run(install.arg(folder).arg(format!("{package}@{version}")))?;
    Ok(())
}

/// Installs wheels of PyPI, just these (`NAME==VERSION`). Modules are in the folder then, and programs in its `bin`.
///
/// # Errors
/// When Python or pip is missing or the installation fails.
pub fn install_from_pypi(folder: &Path, packages: &[&str]) -> Result<(), LabError> {
    let mut install = Command::new("python3");
    install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target"]);
    run(install.arg(folder).args(packages))?;
    Ok(())
}
