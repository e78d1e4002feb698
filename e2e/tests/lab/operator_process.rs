//! The operator as a process of the test, beside a hub: started in a moment, looked into, stopped or killed.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use skyfleet_e2e::{Cluster, artifacts};
use tokio::process::{Child, Command};

use crate::support::{eventually, get, kubectl};

/// The namespace of the operator's Lease and of the Secrets that Clusters name.
pub(crate) const NAMESPACE: &str = "skyfleet-system";
/// How long the operator may take to end after a SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(25);

/// An operator that works on a hub; killed when the test ends. When the test fails its log is printed.
pub(crate) struct OperatorProcess {
    child: Child,
    address: String,
    log: PathBuf,
}

impl OperatorProcess {
    /// Starts an operator and waits until it answers. The identity, unique on the hub, is its name in the leader election.
    pub(crate) async fn start(hub: &Cluster, identity: &str) -> Self {
        Self::start_with(hub, identity, &[]).await
    }

    /// The same with more flags.
    pub(crate) async fn start_with(hub: &Cluster, identity: &str, flags: &[&str]) -> Self {
        let program = tokio::task::spawn_blocking(artifacts::skyfleet_program).await.unwrap().unwrap();
        make_namespace(hub).await;
        let address = free_address();
        let log = hub.folder().join(format!("{identity}.log"));
        let file = std::fs::File::create(&log).unwrap();
        let child = Command::new(program)
            .args(["operator", "--listen", &address, "--namespace", NAMESPACE, "--identity", identity])
            .args(flags)
            .env("KUBECONFIG", hub.kubeconfig())
            .env("RUST_LOG", "info,skyfleet=debug")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let operator = Self { child, address, log };
        eventually("the operator's first answer", || operator.get("/readyz")).await;
        operator
    }

    /// The body of an answer of the operator's own server.
    pub(crate) async fn get(&self, path: &str) -> Result<String, String> {
        get(&self.address, path).await
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Whether it says of itself that it leads.
    pub(crate) async fn leads(&self) -> bool {
        self.get("/metrics").await.unwrap_or_default().lines().any(|line| line == "skyfleet_leader 1")
    }

    /// Asks it to stop, as Kubernetes does with a pod, and waits for its end.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id().expect("it runs")).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
        tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.expect("it ends in time").unwrap()
    }

    /// Ends it at once, as a power cut does.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

impl Drop for OperatorProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of {}:\n{}", self.log.display(), std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

async fn make_namespace(hub: &Cluster) {
    match kubectl(&hub.kubeconfig(), &["create", "namespace", NAMESPACE]).await {
        Err(error) if !error.contains("already exists") => panic!("{error}"),
        _ => {}
    }
}

/// An address of the machine that nobody listens at now.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
