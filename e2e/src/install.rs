//! The programs of the machine that the lab needs, and the Debian packages they come in.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::Command;

use nix::unistd::Uid;

use crate::command::SEARCH_PATH;
use crate::error::LabError;
use crate::node::PLUGIN_FOLDERS;

/// A program and the package of Debian and Ubuntu that has it.
struct Need {
    program: &'static str,
    package: &'static str,
    /// Only a cluster with a node needs it, or the images for one.
    for_pods: bool,
}

const NEEDS: [Need; 11] = [
    Need { program: "ip", package: "iproute2", for_pods: false },
    Need { program: "nft", package: "nftables", for_pods: false },
    Need { program: "nsenter", package: "util-linux", for_pods: false },
    Need { program: "setsid", package: "util-linux", for_pods: false },
    Need { program: "containerd", package: "containerd", for_pods: true },
    Need { program: "ctr", package: "containerd", for_pods: true },
    Need { program: "runc", package: "runc", for_pods: true },
    Need { program: "conntrack", package: "conntrack", for_pods: true },
    Need { program: "strip", package: "binutils", for_pods: true },
    Need { program: "update-ca-certificates", package: "ca-certificates", for_pods: true },
    Need { program: "pip3", package: "python3-pip", for_pods: true },
];

/// The network plugins are programs too, in a folder that is not on the search path.
const PLUGINS_PACKAGE: &str = "containernetworking-plugins";

/// The packages that are missing on this machine, each once.
#[must_use]
pub fn missing(with_pods: bool) -> Vec<&'static str> {
    let needed = NEEDS.iter().filter(|need| with_pods || !need.for_pods);
    let mut packages: Vec<&str> = needed.filter(|need| !is_installed(need.program)).map(|need| need.package).collect();
    if with_pods && !PLUGIN_FOLDERS.iter().any(|folder| Path::new(folder).join("ptp").is_file()) {
        packages.push(PLUGINS_PACKAGE);
    }
    packages.dedup();
    packages
}

fn is_installed(program: &str) -> bool {
    SEARCH_PATH.split(':').any(|folder| Path::new(folder).join(program).is_file())
}

/// Fails when a package is missing, naming it.
///
/// # Errors
/// [`LabError::Missing`], saying how to install them.
pub fn check(with_pods: bool) -> Result<(), LabError> {
    let packages = missing(with_pods);
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    Err(LabError::Missing(format!("the lab needs these packages: {list}. Install them with: apt-get install {list}")))
}

/// Installs what is missing by apt-get: after a yes at the terminal, or with `yes` at once.
///
/// # Errors
/// When the answer is no, when there is no terminal to ask at, without apt-get, and when apt-get fails.
pub fn install(with_pods: bool, yes: bool) -> Result<(), LabError> {
    let packages = missing(with_pods);
    if packages.is_empty() {
        return Ok(());
    }
    if !is_installed("apt-get") {
        return check(with_pods);
    }
    let list = packages.join(" ");
    if !yes && !ask(&format!("The lab needs these packages: {list}. Install them with apt-get now? [y/N] "))? {
        return check(with_pods);
    }
    println!("installing {list}");
    apt_get(&["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(&arguments)?;
    check(with_pods)
}

fn ask(question: &str) -> Result<bool, LabError> {
    let (stdin, mut stdout) = (std::io::stdin(), std::io::stdout());
    if !stdin.is_terminal() {
        return Ok(false);
    }
    let mut answer = String::new();
    let mut exchange = || {
        stdout.write_all(question.as_bytes())?;
        stdout.flush()?;
        stdin.lock().read_line(&mut answer)
    };
    exchange().map_err(LabError::file("ask at", Path::new("/dev/tty")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn apt_get(arguments: &[&str]) -> Result<(), LabError> {
    let mut command = Command::new(if Uid::effective().is_root() { "apt-get" } else { "sudo" });
    if !Uid::effective().is_root() {
        command.arg("apt-get");
    }
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    let failed = |reason: String| LabError::Command { command: format!("apt-get {}", arguments.join(" ")), reason };
    let status = command.status().map_err(|error| failed(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(format!("{status}; its messages are above"))) }
}
