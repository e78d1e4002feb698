//! What is told about an Apache httpd.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the agent is told about the Apache httpd beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder of the managed files. The virtual host includes [`Settings::entry`] in it.
    pub directory: PathBuf,
    /// Where the virtual host takes requests of this machine: the balancer-manager is asked there.
    pub manager: SocketAddr,
    /// Where the virtual host takes requests by TLS only: who has signed its certificate, PEM. TLS is spoken only if this is given.
    pub manager_authorities: Option<PathBuf>,
    /// A name of the virtual host; its `ServerName` where `UseCanonicalName` is on.
    pub host: String,
    /// The path of the balancer-manager, which the managed part makes.
    pub manager_path: String,
    /// Tests the configuration, and says on standard error what is wrong; [`TRY`](super::TRY) is defined for it by the last two arguments.
    pub test: Vec<String>,
    /// Has the server read its files again, and requests that are under way end.
    pub restart: Vec<String>,
    /// How long either command may take, and each answer of the balancer-manager.
    pub timeout: Duration,
    /// How long the server may take until it runs by its new files.
    pub restart_timeout: Duration,
    /// For so long before that, connections end with each answer: none is lost then that waits for a request. Nobody waits where it is zero.
    pub closing: Duration,
    /// Places of each route for replicas that come while the server runs, from 1 to 100. Those that have gone keep theirs.
    pub reserve: usize,
    /// Authorities for replicas of routes that name none.
    pub authorities: PathBuf,
    /// Modules that are loaded beside those that every route needs.
    pub modules: Modules,
}

/// Modules that only some routes need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modules {
    /// `mod_proxy_hcheck`, for health checks.
    pub hcheck: bool,
    /// `mod_proxy_http2`, for replicas that speak HTTP/2.
    pub http2: bool,
    /// `mod_ssl`, for replicas that speak TLS.
    pub ssl: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let command = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            directory: "/etc/skyfleet/apache".into(),
            manager: (Ipv4Addr::LOCALHOST, 80).into(),
            manager_authorities: None,
            host: "localhost".to_owned(),
            manager_path: "/.skyfleet/balancer-manager".to_owned(),
            test: command(&["apache2ctl", "-t"]),
            restart: command(&["apache2ctl", "graceful"]),
            timeout: Duration::from_secs(30),
            restart_timeout: Duration::from_mins(1),
            closing: Duration::from_secs(1),
            reserve: 100,
            authorities: "/etc/ssl/certs/ca-certificates.crt".into(),
            modules: Modules::default(),
        }
    }
}

impl Settings {
    /// The file that the virtual host includes. It never changes.
    #[must_use]
    pub fn entry(&self) -> PathBuf {
        self.directory.join("skyfleet.conf")
    }

    /// What the server runs by.
    pub(super) fn managed(&self) -> PathBuf {
        self.directory.join("managed.conf")
    }

    /// What is tested before it becomes that.
    pub(super) fn candidate(&self) -> PathBuf {
        self.directory.join("candidate.conf")
    }

    /// While it is there, connections end with each answer.
    pub(super) fn closing_file(&self) -> PathBuf {
        self.directory.join("closing")
    }

    /// A certificate, by its name.
    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What [`Settings::entry`] says.
    pub(super) fn entry_text(&self) -> String {
        let include = |path: &Path| format!("  IncludeOptional \"{}\"\n", path.display());
        format!(
            "# Written by Skyfleet; include it in one virtual host.\n<IfDefine {TRY}>\n{}</IfDefine>\n<IfDefine !{TRY}>\n{}</IfDefine>\n",
            include(&self.candidate()),
            include(&self.managed()),
            TRY = super::TRY,
        )
    }
}
