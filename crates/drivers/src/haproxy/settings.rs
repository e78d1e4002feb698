//! What a driver is told of an HAProxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What stands for the file that is tried, among the words of [`Settings::test`].
pub const CANDIDATE: &str = "{}";

/// What a driver is told of an HAProxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A folder of the driver's own, which HAProxy reads `skyfleet.cfg` and `routes.map` from.
    pub folder: PathBuf,
    /// The stats socket, of level admin.
    pub runtime: PathBuf,
    /// The socket of the master process.
    pub master: PathBuf,
    /// Tells whether a configuration is good: a program and its arguments, of which [`CANDIDATE`] becomes the driver's part.
    pub test: Vec<String>,
    /// Where the agent listens that HAProxy asks for weights, for Least Response Time; it is not done if not given.
    pub agent: Option<SocketAddr>,
    /// For each question and command.
    pub timeout: Duration,
    /// For a new process to be there after a reload.
    pub reload_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let test = ["/usr/sbin/haproxy", "-c", "-f", "/etc/haproxy/haproxy.cfg", "-f", CANDIDATE];
        Self {
            folder: "/etc/haproxy/skyfleet".into(),
            runtime: "/run/haproxy/admin.sock".into(),
            master: "/run/haproxy-master.sock".into(),
            test: test.map(str::to_owned).to_vec(),
            agent: Some(([127, 0, 0, 1], 9477).into()),
            timeout: Duration::from_secs(10),
            reload_timeout: Duration::from_secs(30),
        }
    }
}

impl Settings {
    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("skyfleet.cfg")
    }

    pub(super) fn map(&self) -> PathBuf {
        self.folder.join("routes.map")
    }

    pub(super) fn tls(&self) -> PathBuf {
        self.folder.join("tls")
    }

    pub(super) fn tls_file(&self, name: &str) -> PathBuf {
        self.tls().join(name)
    }
}

/// As HAProxy knows the file.
pub(super) fn text(path: &Path) -> String {
    path.display().to_string()
}
