//! The gateway as a process of the test, beside a hub.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use skyfleet_e2e::{Cluster, artifacts};
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::operator_process::free_address;
use crate::support::{eventually, get};

/// A gateway, killed when the test ends. When the test fails its log is printed.
pub(crate) struct Gateway {
    child: Child,
    /// Where clients send requests.
    pub(crate) address: String,
    /// Where it says how it stands.
    pub(crate) admin: String,
    access_log: PathBuf,
    log: PathBuf,
}

impl Gateway {
    /// Starts one that may do everything on the hub, and waits until it knows the routes.
    pub(crate) async fn start(hub: &Cluster) -> Self {
        Self::start_with(hub, &hub.kubeconfig(), &[]).await
    }

    /// Starts one with this kubeconfig and these arguments beside its addresses, and waits until it knows the routes.
    pub(crate) async fn start_with(hub: &Cluster, kubeconfig: &Path, arguments: &[&str]) -> Self {
        Self::run(Command::new(program().await), hub, kubeconfig, arguments).await
    }

    /// Starts one that may do everything on the hub, and finds servers by these lines of `/etc/hosts` and no others.
    pub(crate) async fn start_with_hosts(hub: &Cluster, hosts: &str) -> Self {
        let file = hub.folder().join("hosts");
        std::fs::write(&file, hosts).unwrap();
        // Nobody else sees what is mounted there.
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", r#"mount --bind "$0" /etc/hosts && exec "$@""#]);
        command.arg(file).arg(program().await);
        Self::run(command, hub, &hub.kubeconfig(), &[]).await
    }

    async fn run(mut command: Command, hub: &Cluster, kubeconfig: &Path, arguments: &[&str]) -> Self {
        let (address, admin) = (free_address(), free_address());
        let (access_log, log) = (hub.folder().join("access.log"), hub.folder().join("gateway.log"));
        let child = command
            .args(["gateway", "--listen", &address, "--admin-listen", &admin, "--stop-delay", "0", "--access-log"])
            .arg(&access_log)
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        eventually("the gateway knows the routes", || get(&admin, "/readyz")).await;
        Self { child, address, admin, access_log, log }
    }

    /// Asks it to stop, as Kubernetes does with a pod, and waits for its end.
    pub(crate) async fn stop(&mut self) {
        let pid = i32::try_from(self.child.id().expect("it runs")).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        let ended = timeout(Duration::from_mins(1), self.child.wait()).await.expect("it ends in time");
        assert!(ended.unwrap().success());
    }

    /// Routes and endpoints as they are now.
    pub(crate) async fn routes(&self) -> Result<Value, String> {
        Ok(serde_json::from_str(&get(&self.admin, "/routes").await?).unwrap())
    }

    /// The access log by now.
    pub(crate) fn log(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(&self.access_log).unwrap();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The clusters that answered, by the access log.
    pub(crate) fn answered_by(&self) -> BTreeSet<String> {
        let log = self.log();
        let answered = log.iter().filter(|line| line["status"] == 200);
        answered.filter_map(|line| line["member_cluster"].as_str().map(str::to_owned)).collect()
    }
}

async fn program() -> PathBuf {
    spawn_blocking(artifacts::skyfleet_program).await.unwrap().unwrap()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for file in [&self.log, &self.access_log] {
                eprintln!("{}:\n{}", file.display(), std::fs::read_to_string(file).unwrap_or_default());
            }
        }
    }
}
