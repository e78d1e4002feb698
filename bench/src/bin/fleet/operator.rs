//! The operator as a process beside the hub.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::error::BenchError;
use crate::hub::{Hub, NAMESPACE};

/// For the operator's orderly end.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// How operators are started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// Arguments beside those the benchmark gives.
    pub(crate) arguments: Vec<String>,
    /// Where its log goes; into the hub's folder, which ends with it, if not given.
    pub(crate) log: Option<PathBuf>,
}

/// An operator that runs; it is killed when this goes.
pub(crate) struct Operator {
    child: Child,
    address: String,
    log: PathBuf,
    /// When its process was started.
    pub(crate) started: Instant,
}

impl Operator {
    /// Starts an operator. The identity is its name in the leader election.
    pub(crate) fn start(program: &Program, hub: &Hub, identity: &str) -> Result<Self, BenchError> {
        let address = free_address()?;
        let log = program.log.clone().unwrap_or_else(|| hub.folder.join("operator.log"));
        let file = std::fs::File::options().create(true).append(true).open(&log);
        let file = file.map_err(BenchError::io(format!("write {}", log.display())))?;
        let errors = file.try_clone().map_err(BenchError::io("write the operator's log"))?;
        let mut command = Command::new(&program.path);
        command.args(["operator", "--listen", &address, "--namespace", NAMESPACE, "--identity", identity]);
        command.args(&program.arguments).env("KUBECONFIG", &hub.kubeconfig);
        command.env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()));
        command.stdin(Stdio::null()).stdout(file).stderr(errors).kill_on_drop(true);
        let started = Instant::now();
        let child = command.spawn().map_err(BenchError::io(format!("start {}", program.path.display())))?;
        Ok(Self { child, address, log, started })
    }

    /// Its process; `None` when it has ended.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Fails when it has ended by itself, with the end of its log.
    pub(crate) fn check(&mut self) -> Result<(), BenchError> {
        match self.child.try_wait().map_err(BenchError::io("look at the operator"))? {
            None => Ok(()),
            Some(status) => Err(BenchError::OperatorEnded { status: status.to_string(), log: self.end_of_log() }),
        }
    }

    /// The last lines of its log.
    pub(crate) fn end_of_log(&self) -> String {
        end_of(&self.log)
    }

    /// Asks it to stop, as Kubernetes does, and waits for its end.
    pub(crate) async fn stop(&mut self) -> Result<(), BenchError> {
        if let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) {
            let asked = kill(Pid::from_raw(pid), Signal::SIGTERM);
            asked.map_err(std::io::Error::from).map_err(BenchError::io("stop the operator"))?;
        }
        match timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(ended) => ended.map(drop).map_err(BenchError::io("wait for the operator")),
            Err(_) => Err(BenchError::Timeout {
                what: "the operator's end",
                seconds: STOP_LIMIT.as_secs(),
                last: self.end_of_log(),
            }),
        }
    }

    /// Ends it at once, as a power cut does.
    pub(crate) async fn kill(&mut self) -> Result<(), BenchError> {
        self.child.kill().await.map_err(BenchError::io("kill the operator"))
    }

    /// What it says itself of its passes over ModelDeployments; `None` while it does not answer.
    pub(crate) async fn passes(&self) -> Option<Passes> {
        let metrics = timeout(Duration::from_secs(5), get(&self.address, "/metrics")).await.ok()?.ok()?;
        let value = |name: &str, label: &str| {
            let of_models = |line: &&str| line.starts_with(name) && line.contains("kind=\"ModelDeployment\"");
            let line = metrics.lines().filter(of_models).find(|line| line.contains(label))?;
            line.rsplit(' ').next()?.parse().ok()
        };
        Some(Passes {
            done: value("skyfleet_reconciles_total", "outcome=\"done\"").unwrap_or(0.0),
            failed: value("skyfleet_reconciles_total", "outcome=\"failed\"").unwrap_or(0.0),
            seconds: value("skyfleet_reconcile_duration_seconds_sum", "").unwrap_or(0.0),
        })
    }
}

/// Passes over ModelDeployments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Passes {
    pub(crate) done: f64,
    pub(crate) failed: f64,
    /// That they took, waiting included.
    pub(crate) seconds: f64,
}

impl Passes {
    /// Those since an earlier look.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            done: self.done - earlier.done,
            failed: self.failed - earlier.failed,
            seconds: self.seconds - earlier.seconds,
        }
    }
}

fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

async fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn free_address() -> Result<String, BenchError> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    address.map(|address| address.to_string()).map_err(BenchError::io("find a free port"))
}
