//! Moto, which speaks as services of AWS do: S3 buckets that notify queues of SQS.

use std::path::PathBuf;
use std::process::Command;

use crate::error::LabError;
use crate::tools::{built, install_from_pypi};

/// The version, from PyPI.
pub const MOTO_VERSION: &str = "5.2.5";

/// What its server for S3 and SQS needs; all of it is named, so that every machine has the same.
const PACKAGES: [&str; 26] = [
    "blinker==1.9.0",
    "boto3==1.44.8",
    "botocore==1.44.8",
    "certifi==2026.10.19.post1",
    "cffi==2.1.1",
    "charset-normalizer==3.5.3",
    "click==8.5.1",
    "cryptography==50.0.2",
    "Flask==3.1.3",
    "flask-cors==6.0.5",
    "idna==3.20",
    "itsdangerous==2.2.0",
    "Jinja2==3.1.6",
    "jmespath==1.1.0",
    "MarkupSafe==3.0.4",
    "py-partiql-parser==0.6.3",
    "pycparser==3.12",
    "python-dateutil==2.9.0.post0",
    "PyYAML==6.0.4",
    "requests==2.34.2",
    "responses==0.26.3",
    "s3transfer==0.19.3",
    "six==1.17.0",
    "urllib3==2.8.0",
    "Werkzeug==3.1.9",
    "xmltodict==1.0.4",
];

/// A Python that runs the module `moto.server`; the first call installs it, in about a minute. Blocks: call it off the async threads
/// where others wait.
///
/// # Errors
/// When Python or pip is missing or the installation fails.
pub fn python_with_moto() -> Result<Command, LabError> {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", moto()?);
    Ok(python)
}

/// The folder with the module.
///
/// # Errors
/// As [`python_with_moto`].
pub fn moto() -> Result<PathBuf, LabError> {
    let moto = format!("moto=={MOTO_VERSION}");
    let packages: Vec<&str> = PACKAGES.into_iter().chain([moto.as_str()]).collect();
    built("moto", &[packages.join(" ").as_bytes()], |folder| {
        eprintln!("installing moto {MOTO_VERSION} (once on this machine, about a minute)");
        install_from_pypi(folder, &packages)
    })
}
