//! An NGINX that is set up as the documentation says.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use skyfleet_drivers::nginx::{Nginx, Settings};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::balancer::{Balancer, LONG, Meddled, Restarts};
use crate::port::reserve;

const PROGRAM: &str = "/usr/sbin/nginx";

/// NGINX with its workers. All of them end with this value.
pub struct Running {
    pub folder: TempDir,
    address: SocketAddr,
    pub settings: Settings,
    master: Child,
}

impl Running {
    /// `of_http` and `of_server` are what the user has in those blocks beside.
    pub async fn with(of_http: &str, of_server: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, root) = (reserve(), folder.path().to_owned());
        let (configuration, managed) = (root.join("conf/nginx.conf"), root.join("skyfleet"));
        fs::create_dir(root.join("conf")).unwrap();
        fs::create_dir(&managed).unwrap();
        symlink(managed.join("live"), root.join("conf/skyfleet")).unwrap();
        fs::write(&configuration, main(&root, address, of_http, of_server)).unwrap();
        let reload = [PROGRAM, "-s", "reload", "-c", configuration.to_str().unwrap()].map(str::to_owned).to_vec();
        let program = vec![PROGRAM.to_owned()];
        let control = reserve();
        // Clients of these tests ask much more often.
        let closing = Duration::from_millis(200);
        let settings =
            Settings { configuration, folder: managed, control, program, reload, closing, ..Settings::default() };
        let master = spawn(&settings);
        let running = Self { folder, address, settings, master };
        running.serves().await;
        running
    }

    /// A file of what is live.
    pub fn live(&self, file: &str) -> PathBuf {
        self.settings.folder.join("live").join(file)
    }

    /// Has it load its configuration, as a person would.
    pub async fn reload(&self) {
        let done = Command::new(PROGRAM).args(&self.settings.reload[1..]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        // For a tenth of a second old workers take connections too.
        sleep(Duration::from_millis(500)).await;
    }

    async fn serves(&self) {
        eventually("NGINX serves", async || TcpStream::connect(self.address).await.is_ok()).await;
    }

    fn end(&mut self) {
        let group = Pid::from_raw(self.master.id().try_into().unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        self.master.wait().unwrap();
    }
}

async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = tokio::time::Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < LONG, "not yet: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// The user's own configuration.
fn main(root: &std::path::Path, address: SocketAddr, of_http: &str, of_server: &str) -> String {
    let root = root.display();
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {root}/{kind};\n"))
        .concat();
    format!(
        "user root;
daemon off;
worker_processes 2;
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
{folders}
    include skyfleet/http*.conf;
    {of_http}
    server {{
        listen {address};
        include skyfleet/server*.conf;
        {of_server}
        location / {{ return 404 \"of the user\"; }}
    }}
}}
"
    )
}

fn spawn(settings: &Settings) -> Child {
    let mut command = Command::new(PROGRAM);
    command.arg("-c").arg(&settings.configuration).process_group(0).stdin(Stdio::null());
    command.spawn().unwrap()
}

impl Balancer for Running {
    type Driver = Nginx;
    const CLOSES_KEPT_CONNECTIONS: bool = true;

    async fn start() -> Self {
        Self::with("", "").await
    }

    fn driver(&self) -> Nginx {
        Nginx::new(self.settings.clone())
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Restarts for Running {
    async fn kill(&mut self) {
        self.end();
        // Workers end a little later than the master, and nobody can wait for them.
        for address in [self.address, self.settings.control] {
            eventually("nobody listens", async || TcpStream::connect(address).await.is_err()).await;
        }
    }

    async fn start_again(&mut self) {
        self.master = spawn(&self.settings);
        self.serves().await;
    }
}

impl Meddled for Running {
    async fn meddle(&self, how: usize) -> Option<&'static str> {
        let change = |file: &str, from: &str, to: &str| {
            let text = fs::read_to_string(self.live(file)).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(self.live(file), text.replacen(from, to, 1)).unwrap();
        };
        match how {
            0 => change("http.conf", "weight=1", "weight=7"),
            1 => {
                change("http.conf", "weight=1", "weight=7");
                self.reload().await;
            }
            2 => change("server.conf", "internal;", ""),
            3 => fs::write(self.live("http-mine.conf"), "server_tokens off;\n").unwrap(),
            4 => fs::remove_file(self.live("server.conf")).unwrap(),
            5 => fs::remove_file(self.settings.folder.join("live")).unwrap(),
            6 => change("http-generation.conf", "return 200 ", "return 200 x"),
            7 => fs::create_dir(self.live("http-mine.conf")).unwrap(),
            8 => symlink("nowhere", self.live("server-mine.conf")).unwrap(),
            _ => return None,
        }
        Some("a file of what is live")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default();
            eprintln!("NGINX says:\n{}", log.lines().take(40).collect::<Vec<_>>().join("\n"));
        }
        self.end();
    }
}
