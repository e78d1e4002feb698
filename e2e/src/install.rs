//! The programs of the machine that the lab needs, and the Debian packages they come in.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::Command;

use nix::unistd::Uid;

use crate::backend::Backend;
use crate::command::SEARCH_PATH;
use crate::error::LabError;
use crate::node::PLUGIN_FOLDERS;

/// A program and the package of Debian and Ubuntu that has it.
struct Need {
    program: &'static str,
    package: &'static str,
    part: Part,
}

/// What needs a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Every lab.
    Lab,
    /// The building of images for pods.
    Images,
    /// A node of the lab's own making.
    Node,
}

impl Part {
    fn is_in(self, backend: Backend, with_pods: bool) -> bool {
        match self {
            Self::Lab => true,
            Self::Images => with_pods,
            Self::Node => with_pods && backend == Backend::Namespaces,
        }
    }
}

const NEEDS: [Need; 11] = [
    Need { program: "ip", package: "iproute2", part: Part::Lab },
    Need { program: "nft", package: "nftables", part: Part::Lab },
    Need { program: "nsenter", package: "util-linux", part: Part::Lab },
    Need { program: "setsid", package: "util-linux", part: Part::Lab },
    Need { program: "containerd", package: "containerd", part: Part::Node },
    Need { program: "ctr", package: "containerd", part: Part::Node },
    Need { program: "runc", package: "runc", part: Part::Node },
    Need { program: "conntrack", package: "conntrack", part: Part::Node },
    Need { program: "strip", package: "binutils", part: Part::Images },
    Need { program: "update-ca-certificates", package: "ca-certificates", part: Part::Images },
    Need { program: "pip3", package: "python3-pip", part: Part::Images },
];

/// The network plugins are programs too, in a folder that is not on the search path.
const PLUGINS_PACKAGE: &str = "containernetworking-plugins";

/// Load balancers, and what sends them requests, each with its package. Without `apache2` beside it, its server does not start by itself.
const BALANCERS: [(&str, &str); 4] =
    [("nginx", "nginx"), ("haproxy", "haproxy"), ("apache2", "apache2-bin"), ("wrk", "wrk")];

/// A browser for tests of pages, and what tells it what to do.
const BROWSERS: [(&str, &str); 2] = [("chromium", "chromium"), ("chromedriver", "chromium-driver")];

/// The packages that are missing on this machine, each once.
#[must_use]
pub fn missing(backend: Backend, with_pods: bool) -> Vec<&'static str> {
    let needed = NEEDS.iter().filter(|need| need.part.is_in(backend, with_pods));
    let mut packages: Vec<&str> = needed.filter(|need| !is_installed(need.program)).map(|need| need.package).collect();
    if Part::Node.is_in(backend, with_pods)
        && !PLUGIN_FOLDERS.iter().any(|folder| Path::new(folder).join("ptp").is_file())
    {
        packages.push(PLUGINS_PACKAGE);
    }
    packages.dedup();
    packages
}

/// Whether root finds the program, of whatever package.
pub(crate) fn is_installed(program: &str) -> bool {
    SEARCH_PATH.split(':').any(|folder| Path::new(folder).join(program).is_file())
}

/// Fails when a package is missing, naming it.
///
/// # Errors
/// [`LabError::Missing`], saying how to install them.
pub fn check(backend: Backend, with_pods: bool) -> Result<(), LabError> {
    lacks_none(&missing(backend, with_pods))
}

fn lacks_none(packages: &[&str]) -> Result<(), LabError> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    Err(LabError::Missing(format!("these packages are needed: {list}. Install them with: apt-get install {list}")))
}

/// Installs what is missing by apt-get: after a yes at the terminal, or with `yes` at once.
///
/// # Errors
/// When the answer is no, when there is no terminal to ask at, without apt-get, and when apt-get fails.
pub fn install(backend: Backend, with_pods: bool, yes: bool) -> Result<(), LabError> {
    install_missing(&missing(backend, with_pods), yes)?;
    check(backend, with_pods)
}

/// The same for load balancers, and what measures them.
///
/// # Errors
/// Those of [`install`].
pub fn install_balancers(yes: bool) -> Result<(), LabError> {
    install_missing(&missing_of(&BALANCERS), yes)?;
    check_balancers()
}

/// Fails when one of them is missing, naming its package.
///
/// # Errors
/// [`LabError::Missing`], saying how to install them.
pub fn check_balancers() -> Result<(), LabError> {
    lacks_none(&missing_of(&BALANCERS))
}

/// The same for the browser that tests of pages need.
///
/// # Errors
/// Those of [`install`].
pub fn install_browsers(yes: bool) -> Result<(), LabError> {
    install_missing(&missing_of(&BROWSERS), yes)?;
    check_browsers()
}

/// Fails when there is no browser, naming its packages.
///
/// # Errors
/// [`LabError::Missing`], saying how to install them.
pub fn check_browsers() -> Result<(), LabError> {
    lacks_none(&missing_of(&BROWSERS))
}

fn missing_of(programs: &[(&str, &'static str)]) -> Vec<&'static str> {
    programs.iter().filter(|(program, _)| !is_installed(program)).map(|(_, package)| *package).collect()
}

fn install_missing(packages: &[&str], yes: bool) -> Result<(), LabError> {
    if packages.is_empty() {
        return Ok(());
    }
    if !is_installed("apt-get") {
        return lacks_none(packages);
    }
    let list = packages.join(" ");
    if !yes && !ask(&format!("These packages are needed: {list}. Install them with apt-get now? [y/N] "))? {
        return lacks_none(packages);
    }
    println!("installing {list}");
    apt_get(&["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(&arguments)
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
