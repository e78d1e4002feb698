//! One cluster of a lab: where its parts are, its processes, and its client.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::process::Command;

use crate::addresses::{API_SERVER_PORT, CONTAINER_GATEWAY, Index};
use crate::backend::Backend;
use crate::certificates::Credentials;
use crate::cgroup::Cgroup;
use crate::command::SEARCH_PATH;
use crate::error::LabError;
use crate::kind;
use crate::network;
use crate::spec::ClusterSpec;

/// A cluster that a lab has made. Reading it changes nothing; [`crate::Lab`] starts and stops it.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub(crate) backend: Backend,
    pub(crate) spec: ClusterSpec,
    pub(crate) folder: PathBuf,
    pub(crate) index: Index,
    pub(crate) cgroup: Cgroup,
    pub(crate) credentials: Credentials,
}

impl Cluster {
    pub(crate) fn new(backend: Backend, spec: ClusterSpec, folder: PathBuf, index: Index) -> Result<Self, LabError> {
        let (cgroup, credentials) = (Cgroup::of(index)?, Credentials::in_folder(&folder));
        Ok(Self { backend, spec, folder, index, cgroup, credentials })
    }

    /// The name in the lab.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// What makes it.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Its node's name in Kubernetes, and where kind makes it, in Docker.
    #[must_use]
    pub fn node_name(&self) -> String {
        match self.backend {
            Backend::Namespaces => self.name().to_owned(),
            Backend::Kind => kind::container(self),
        }
    }

    /// Whether it has a node that runs pods.
    #[must_use]
    pub fn has_node(&self) -> bool {
        self.spec.pods || self.backend == Backend::Kind
    }

    /// The API server's URL.
    #[must_use]
    pub fn server(&self) -> String {
        format!("https://{}:{API_SERVER_PORT}", self.address())
    }

    /// The address of the API server, of NodePorts and of whatever [`Cluster::spawn`] starts.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        match self.backend {
            Backend::Namespaces => self.index.node(),
            Backend::Kind => self.index.container(),
        }
    }

    /// The machine's own address that pods reach: for a server that runs beside the clusters.
    #[must_use]
    pub fn machine(&self) -> Ipv4Addr {
        match self.backend {
            Backend::Namespaces => self.index.gateway(),
            Backend::Kind => CONTAINER_GATEWAY,
        }
    }

    /// The network namespace, a name for `ip netns`.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.index.namespace()
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.credentials.kubeconfig("admin")
    }

    /// The API server's audit log: one JSON line for every write it answered, at level Metadata.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        match self.backend {
            Backend::Namespaces => self.folder.join("audit.log"),
            // In a folder of its own, which the node's container has, too.
            Backend::Kind => self.folder.join("audit/audit.log"),
        }
    }

    /// The folder of the cluster's data, removed with the lab: the place for the data of what [`Cluster::spawn`] starts.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The log of a component.
    #[must_use]
    pub fn log(&self, component: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{component}.log"))
    }

    /// A client of the administrator with timeouts fit for tests.
    ///
    /// # Errors
    /// When the kubeconfig is not there or damaged.
    pub async fn client(&self) -> Result<kube::Client, LabError> {
        let failed = |reason: String| LabError::Client { cluster: self.name().to_owned(), reason };
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).map_err(|error| failed(error.to_string()))?;
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| failed(error.to_string()))?;
        config.connect_timeout = Some(Duration::from_secs(5));
        config.read_timeout = Some(Duration::from_mins(5));
        config.proxy_url = None;
        kube::Client::try_from(config).map_err(|error| failed(error.to_string()))
    }

    /// Starts a program in the cluster's network namespace as one more component of it: it is stopped with the cluster and
    /// ended with the lab, and its output is at [`Cluster::log`]. Of the command, program, arguments and variables are taken;
    /// the lab's own environment is not passed on. Does nothing while `component` runs.
    ///
    /// # Errors
    /// When it cannot be started. That it ends soon after is for the caller to see with [`Cluster::is_running`].
    pub fn spawn(&self, component: &str, command: &std::process::Command) -> Result<(), LabError> {
        if self.is_running(component) {
            return Ok(());
        }
        let path = self.log(component);
        fs::create_dir_all(self.folder.join("logs")).map_err(LabError::file("make the folder", &path))?;
        let log = fs::File::options().create(true).append(true).open(&path).map_err(LabError::file("open", &path))?;
        let errors = log.try_clone().map_err(LabError::file("open", &path))?;
        // A session of its own keeps a terminal's Ctrl-C from it.
        let mut shell = self.accounted(component, "setsid")?;
        shell.arg("nsenter").arg(network::enter(self.index)).arg("--");
        shell.arg(command.get_program()).args(command.get_args()).current_dir(&self.folder);
        shell.env_clear().env("PATH", SEARCH_PATH).env("HOME", &self.folder);
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.stdin(Stdio::null()).stdout(log).stderr(errors);
        let failed =
            |error: std::io::Error| LabError::Command { command: "/bin/sh".to_owned(), reason: error.to_string() };
        let mut child = shell.spawn().map_err(failed)?;
        // Reaps it should it end before the lab does.
        tokio::spawn(async move { child.wait().await });
        Ok(())
    }

    /// A shell that enters the component's cgroup and then becomes `program`, with the arguments that the caller adds: so no
    /// crash of the lab at any moment can leave the program unaccounted for.
    pub(crate) fn accounted(&self, component: &str, program: &str) -> Result<Command, LabError> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(r#"echo $$ > "$0" && exec "$@""#).arg(self.cgroup.ledger(component)?).arg(program);
        Ok(shell)
    }

    /// Whether a process of the component is there.
    #[must_use]
    pub fn is_running(&self, component: &str) -> bool {
        !self.cgroup.processes(Some(component)).is_empty()
    }

    /// Polls until `check` says yes and all of `components`, started before, run; at most `limit`. Fails at once when one of
    /// them has ended.
    pub(crate) async fn wait_for<F>(
        &self,
        what: &str,
        limit: Duration,
        components: &[&str],
        check: impl Fn() -> F,
    ) -> Result<(), LabError>
    where
        F: Future<Output = Result<(), String>>,
    {
        let start = Instant::now();
        loop {
            let attempt = tokio::time::timeout(Duration::from_secs(10), check()).await;
            let last = match attempt.unwrap_or_else(|_| Err("no answer within 10 s".to_owned())) {
                Ok(()) => match components.iter().find(|component| !self.is_running(component)) {
                    None => return Ok(()),
                    Some(component) => format!("{component} does not run yet"),
                },
                Err(last) => last,
            };
            // A component enters its cgroup a moment after its start.
            if start.elapsed() > Duration::from_secs(5) {
                self.check_running(components)?;
            }
            if start.elapsed() > limit {
                return Err(LabError::Timeout {
                    what: what.to_owned(),
                    cluster: self.name().to_owned(),
                    seconds: limit.as_secs(),
                    last,
                    logs: self.folder.join("logs"),
                });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn check_running(&self, components: &[&str]) -> Result<(), LabError> {
        let Some(component) = components.iter().find(|component| !self.is_running(component)) else { return Ok(()) };
        let log = self.log(component);
        let text = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        Err(LabError::Ended { component: (*component).to_owned(), cluster: self.name().to_owned(), log, tail })
    }
}
