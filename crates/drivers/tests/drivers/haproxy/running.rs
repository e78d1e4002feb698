//! An HAProxy of a test's own.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use skyfleet_drivers::haproxy::{CANDIDATE, HAProxy, Settings, agent_check};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::balancer::{Balancer, LONG, Restarts};

/// A master process with its workers, and the agent that it asks.
pub struct Running {
    pub settings: Settings,
    address: SocketAddr,
    folder: TempDir,
    master: Child,
    agent: JoinHandle<()>,
}

impl Balancer for Running {
    type Driver = HAProxy;

    async fn start() -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), crate::port::reserve());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = settings(folder.path(), listener.local_addr().unwrap());
        std::fs::create_dir(&settings.folder).unwrap();
        for file in ["skyfleet.cfg", "routes.map"] {
            std::fs::write(settings.folder.join(file), "").unwrap();
        }
        std::fs::write(folder.path().join("haproxy.cfg"), config(&settings, address)).unwrap();
        let of_agent = settings.clone();
        let agent = tokio::spawn(async move { agent_check::serve(&of_agent, listener).await });
        let running = Self { master: master(folder.path()), settings, address, folder, agent };
        running.is_ready().await;
        running
    }

    fn driver(&self) -> HAProxy {
        HAProxy::new(self.settings.clone())
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Restarts for Running {
    async fn kill(&mut self) {
        self.kill_all();
        // The workers are not this process's own: they are gone when nobody answers.
        while TcpStream::connect(self.address).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn start_again(&mut self) {
        self.master = master(self.folder.path());
        self.is_ready().await;
    }
}

impl Running {
    /// What HAProxy answers to a command of a person.
    pub async fn say(&self, socket: &Path, command: &str) -> String {
        let connected = async {
            loop {
                // As a process begins, nobody may listen for a moment.
                match UnixStream::connect(socket).await {
                    Ok(stream) => return stream,
                    Err(_) => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let mut stream = timeout(LONG, connected).await.expect("HAProxy listens");
        stream.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        said
    }

    /// The line with the number of the process that answers.
    pub async fn process(&self) -> Option<String> {
        let said = self.say(&self.settings.runtime, "show info").await;
        said.lines().find(|line| line.starts_with("Pid: ")).map(str::to_owned)
    }

    /// The user's own configuration.
    pub fn own(&self) -> PathBuf {
        self.folder.path().join("haproxy.cfg")
    }

    async fn is_ready(&self) {
        let ready = async {
            while TcpStream::connect(self.address).await.is_err()
                || UnixStream::connect(&self.settings.runtime).await.is_err()
                || UnixStream::connect(&self.settings.master).await.is_err()
            {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, ready).await.expect("HAProxy answers");
    }

    fn kill_all(&mut self) {
        let group = format!("-{}", self.master.id());
        let killed = Command::new("kill").args(["-KILL", "--", &group]).status();
        assert!(std::thread::panicking() || killed.is_ok_and(|status| status.success()));
        _ = self.master.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.agent.abort();
        self.kill_all();
    }
}

fn settings(folder: &Path, agent: SocketAddr) -> Settings {
    let haproxy = folder.join("haproxy.cfg").display().to_string();
    Settings {
        folder: folder.join("skyfleet"),
        runtime: folder.join("admin.sock"),
        master: folder.join("master.sock"),
        test: ["/usr/sbin/haproxy", "-c", "-f", &haproxy, "-f", CANDIDATE].map(str::to_owned).to_vec(),
        agent: Some(agent),
        timeout: LONG,
        reload_timeout: LONG,
    }
}

/// A user's own, with the lines of the documentation.
fn config(settings: &Settings, address: SocketAddr) -> String {
    let (runtime, map) = (settings.runtime.display(), settings.folder.join("routes.map"));
    let map = map.display();
    format!(
        "global\n    \
             nbthread 2\n    \
             stats socket {runtime} mode 600 level admin expose-fd listeners\n\
         defaults\n    \
             mode http\n    \
             timeout connect 5s\n    \
             timeout client 60s\n    \
             timeout server 60s\n    \
             balance source\n    \
             default-server inter 1m\n\
         frontend web\n    \
             bind {address}\n    \
             option idle-close-on-response\n    \
             http-request set-var-fmt(txn.skyfleet_asked) \
                 \"%[path] %[req.hdr(host),field(1,:),lower] %[req.fhdr(x-gateway-model-name)]\"\n    \
             http-request set-var(txn.skyfleet) var(txn.skyfleet_asked),map_reg({map})\n    \
             use_backend %[var(txn.skyfleet)] if {{ var(txn.skyfleet) -m found }}\n    \
             default_backend own\n\
         backend own\n    \
             http-request return status 404\n"
    )
}

fn master(folder: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new("/usr/sbin/haproxy")
        .arg("-W")
        .arg("-S")
        .arg(folder.join("master.sock"))
        .arg("-f")
        .arg(folder.join("haproxy.cfg"))
        .arg("-f")
        .arg(folder.join("skyfleet/skyfleet.cfg"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        // Its workers are of its group, and end with it.
        .process_group(0)
        .spawn()
        .unwrap()
}
