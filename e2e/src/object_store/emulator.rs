//! A server of another cloud's object store: one process on a free port.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{LIMIT, ObjectStoreError, system};

/// A server that runs; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Emulator {
    pub(super) address: SocketAddr,
    process: Child,
}

/// A port of this address of the machine that nobody listens on now.
pub(super) fn free_address(ip: Ipv4Addr) -> Result<SocketAddr, ObjectStoreError> {
    let listener = TcpListener::bind((ip, 0)).map_err(system("find a free port"))?;
    listener.local_addr().map_err(system("find a free port"))
}

impl Emulator {
    /// Runs the command with a log in the folder and waits until it takes connections.
    pub(super) async fn start(
        mut command: Command,
        folder: &Path,
        name: &str,
        address: SocketAddr,
    ) -> Result<Self, ObjectStoreError> {
        std::fs::create_dir_all(folder).map_err(system(format!("make the folder {}", folder.display())))?;
        let path = folder.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&path).map_err(system("open the log"))?;
        let errors = log.try_clone().map_err(system("open the log"))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(true);
        let process = command.spawn().map_err(system(format!("run {name}")))?;
        let running = Self { address, process };
        running.wait_until_ready(path).await?;
        Ok(running)
    }

    async fn wait_until_ready(&self, log: PathBuf) -> Result<(), ObjectStoreError> {
        let deadline = Instant::now() + LIMIT;
        loop {
            match TcpStream::connect(self.address).await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= deadline => {
                    return Err(ObjectStoreError::NotReady { address: self.address, last: error.to_string(), log });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Sends one request to the server, which must take it.
    pub(super) async fn tell(&self, request: Request<String>) -> Result<(), ObjectStoreError> {
        let refused = |last: String| ObjectStoreError::Refused { address: self.address, last };
        let client = Client::builder(TokioExecutor::new()).build_http::<String>();
        let answer = client.request(request).await.map_err(|error| refused(error.to_string()))?;
        if answer.status().is_success() { Ok(()) } else { Err(refused(answer.status().to_string())) }
    }

    /// Ends the server at once.
    pub(super) async fn kill(mut self) -> Result<(), ObjectStoreError> {
        self.process.kill().await.map_err(system("end the object store"))
    }
}
