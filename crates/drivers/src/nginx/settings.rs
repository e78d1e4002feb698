//! How NGINX is set up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the link to what is live, in the folder of the configuration.
pub(super) const LINK: &str = "skyfleet";

/// How NGINX is set up, and where its driver keeps what it writes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// NGINX's configuration. In its folder there is a symbolic link `skyfleet` to `live` in [`folder`](Self::folder).
    pub configuration: PathBuf,
    /// What is the driver's alone. The driver and NGINX's master process can read it, nobody else has to.
    pub folder: PathBuf,
    /// Where NGINX's workers tell what they have, on this machine. Nobody else listens there.
    pub control: SocketAddr,
    /// The authorities that are trusted where a route names none, PEM.
    pub authorities: PathBuf,
    /// NGINX's program, and what it is always given, such as `-p`.
    pub program: Vec<String>,
    /// The command that has NGINX load its configuration.
    pub reload: Vec<String>,
    /// For so long before a reload clients are told to close their connections after an answer, so that few are kept when old workers close them:
    /// longer than clients usually wait from one request to the next. Not at all with zero.
    pub closing: Duration,
    /// For a command, and for an answer of a name server or of NGINX.
    pub timeout: Duration,
    /// From the command on until all new connections are answered by what was loaded.
    pub reload_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let owned = |command: &[&str]| command.iter().map(|&word| word.to_owned()).collect();
        Self {
            configuration: "/etc/nginx/nginx.conf".into(),
            folder: "/var/lib/skyfleet/nginx".into(),
            control: ([127, 0, 0, 1], 9180).into(),
            authorities: "/etc/ssl/certs/ca-certificates.crt".into(),
            program: owned(&["nginx"]),
            reload: owned(&["nginx", "-s", "reload"]),
            closing: Duration::from_secs(1),
            timeout: Duration::from_secs(20),
            reload_timeout: Duration::from_mins(1),
        }
    }
}

impl Settings {
    /// What is loaded.
    pub(super) fn live(&self) -> PathBuf {
        self.folder.join("live")
    }

    /// What may become live.
    pub(super) fn next(&self) -> PathBuf {
        self.folder.join("next")
    }

    /// All that was written.
    pub(super) fn generations(&self) -> PathBuf {
        self.folder.join("generations")
    }

    /// While this is there, workers that have this generation tell clients to close.
    pub(super) fn closing(&self, generation: &str) -> PathBuf {
        self.folder.join("closing").join(generation)
    }

    /// The folder of NGINX's configuration.
    pub(super) fn configuration_folder(&self) -> &Path {
        self.configuration.parent().unwrap_or(Path::new("/"))
    }
}
