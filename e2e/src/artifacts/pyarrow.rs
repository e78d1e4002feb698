//! Apache Arrow for Python: another implementation of Parquet, to read what ours writes.

use std::path::PathBuf;
use std::process::Command;

use crate::error::LabError;
use crate::tools::{built, install_from_pypi};

/// The version, from PyPI.
pub const PYARROW_VERSION: &str = "26.0.1";

/// A Python that knows the module `pyarrow`; the first call installs it, in about a minute.
///
/// # Errors
/// When Python or pip is missing or the installation fails.
pub fn python_with_pyarrow() -> Result<Command, LabError> {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", pyarrow()?);
    Ok(python)
}

/// The folder with the module.
///
/// # Errors
/// As [`python_with_pyarrow`].
pub fn pyarrow() -> Result<PathBuf, LabError> {
    built("pyarrow", &[PYARROW_VERSION.as_bytes()], |folder| {
        eprintln!("installing pyarrow {PYARROW_VERSION} (once on this machine, about a minute)");
        install_from_pypi(folder, &[&format!("pyarrow=={PYARROW_VERSION}")])
    })
}
