//! The peers, in these versions, from PyPI: once a machine in Skyfleet's cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::case::Case;
use crate::cost::told;

const PACKAGES: [&str; 2] = ["pyarrow==26.0.1", "duckdb==2.0.1"];
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../peers/flows");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Pyarrow,
    Duckdb,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pyarrow => "pyarrow",
            Self::Duckdb => "duckdb",
        }
    }
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Contents {
    pub rows: u64,
    pub columns: Vec<String>,
}

/// A Python that has the peers.
pub struct Peers {
    python: PathBuf,
}

impl Peers {
    /// The first call on a machine installs them.
    pub fn installed() -> Result<Self, String> {
        let version = run(Command::new("python3").args(["-c", "import platform; print(platform.python_version())"]))?;
        let name = format!("{}-python-{}", PACKAGES.join("-").replace("==", "-"), version.trim());
        let (tools, folder) = (cache_folder().join("tools"), cache_folder().join("tools").join(name));
        if !folder.is_dir() {
            eprintln!("installing {} (once on this machine, some seconds)", PACKAGES.join(" and "));
            install(&tools, &folder)?;
        }
        Ok(Self { python: folder.join("bin/python") })
    }

    pub fn convert(&self, peer: Peer, case: Case, input: &Path, output: &Path) -> Command {
        let mut command = self.script(&format!("{}_peer.py", peer.name()));
        command.arg(case.name()).args([input, output]);
        command
    }

    pub fn contents(&self, file: &Path) -> Result<Contents, String> {
        told(self.script("check.py").arg(file))
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        // Nothing is left beside the scripts.
        command.arg("-B").arg(Path::new(SCRIPTS).join(name));
        command
    }
}

/// As `skyfleet_e2e::tools` has it, which would bring all of the lab.
fn cache_folder() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache/skyfleet");
    std::env::var_os("SKYFLEET_CACHE").map_or_else(home, PathBuf::from)
}

/// Under its name it is there when it is whole.
fn install(tools: &Path, folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot install the peers in {}: {error}", tools.display());
    fs::create_dir_all(tools).map_err(failed)?;
    let unfinished = tempfile::tempdir_in(tools).map_err(failed)?;
    let environment = unfinished.path().join("environment");
    let hint = |error| format!("{error} (Debian has it in python3-venv)");
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment)).map_err(hint)?;
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    run(pip.args(PACKAGES))?;
    match fs::rename(&environment, folder) {
        // Another process was quicker.
        Err(_) if folder.is_dir() => Ok(()),
        renamed => renamed.map_err(failed),
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?} failed, {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}
