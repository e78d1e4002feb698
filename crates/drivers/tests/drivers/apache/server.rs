use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use skyfleet_drivers::apache::{Apache, Modules, Settings};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::balancer::{Balancer, LONG, Restarts};
use crate::client::PAUSE;

/// The name of its virtual host.
pub const HOST: &str = "apache.example.com";
const PROGRAM: &str = "/usr/sbin/apache2";
const MODULES: [&str; 15] = [
    "mpm_event",
    "authz_core",
    "authz_host",
    "headers",
    "http2",
    "lbmethod_bybusyness",
    "lbmethod_byrequests",
    "proxy",
    "proxy_balancer",
    "proxy_hcheck",
    "proxy_http",
    "proxy_http2",
    "rewrite",
    "slotmem_shm",
    "ssl",
];

/// An Apache httpd as a user has set it up: a virtual host with something of its own, and the line that the documentation says.
pub struct Server {
    folder: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Server {
    pub fn settings(&self) -> Settings {
        settings(self.folder.path(), self.address)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// With further directives in its virtual host, which may name files in its folder.
    pub async fn start_with(further: impl FnOnce(&Path) -> String) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, address) = (TempDir::new().unwrap(), crate::port::reserve());
        let path = folder.path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(path.join("pages")).unwrap();
        std::fs::write(path.join("pages/page"), "of the user").unwrap();
        std::fs::write(path.join("apache2.conf"), configuration(path, address, &further(path))).unwrap();
        let child = until_it_answers(path, address).await;
        Self { folder, address, child }
    }

    /// How often it has read its files again.
    pub fn restarts(&self) -> usize {
        self.log().matches("Doing graceful restart").count()
    }

    /// What is not the driver's.
    pub fn own_files(&self) -> [String; 2] {
        ["apache2.conf", "pages/page"].map(|name| std::fs::read_to_string(self.folder.path().join(name)).unwrap())
    }

    /// Ends it and all of its processes at once.
    fn end(&mut self) {
        let group = Pid::from_raw(self.child.id().try_into().unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn settings(folder: &Path, address: SocketAddr) -> Settings {
    let configuration = folder.join("apache2.conf").display().to_string();
    let command = |last: &[&str]| {
        let words = [&[PROGRAM, "-f", &configuration], last].concat();
        words.into_iter().map(str::to_owned).collect()
    };
    Settings {
        directory: folder.join("skyfleet"),
        manager: address,
        host: HOST.to_owned(),
        test: command(&["-t"]),
        restart: command(&["-k", "graceful"]),
        closing: Duration::from_millis(200),
        reserve: 16,
        modules: Modules { hcheck: true, http2: true, ssl: true },
        ..Settings::default()
    }
}

fn configuration(folder: &Path, address: SocketAddr, further: &str) -> String {
    let own = folder.display();
    let modules = MODULES.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    // As root Apache's processes are another user.
    format!(
        "ServerRoot {own}\nDefaultRuntimeDir {own}\nPidFile {own}/pid\nMutex fcntl:{own}\nErrorLog {own}/log\n\
         ServerName localhost\nListen {address}\nLogLevel warn\n{}\
         <IfModule unixd_module>\n  User www-data\n  Group www-data\n</IfModule>\n\
         <VirtualHost *:{}>\n  ServerName {HOST}\n  ServerAlias *\n  Protocols h2 h2c http/1.1\n  DocumentRoot {own}/pages\n  \
         <Directory {own}/pages>\n    Require all granted\n  </Directory>\n{further}  \
         IncludeOptional {own}/skyfleet/skyfleet.conf\n</VirtualHost>\n",
        modules.concat(),
        address.port()
    )
}

fn spawn(folder: &Path) -> Child {
    use std::os::unix::process::CommandExt as _;
    let mut command = Command::new(PROGRAM);
    command.arg("-f").arg(folder.join("apache2.conf")).arg("-DFOREGROUND").process_group(0);
    let said = std::fs::File::create(folder.join("said")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().unwrap()
}

/// Until it answers: the port may still be somebody's who was just ended.
async fn until_it_answers(folder: &Path, address: SocketAddr) -> Child {
    let began = Instant::now();
    let mut child = spawn(folder);
    while TcpStream::connect(address).await.is_err() {
        assert!(began.elapsed() < LONG, "Apache does not start: {:?}", std::fs::read_to_string(folder.join("said")));
        if child.try_wait().unwrap().is_some() {
            child = spawn(folder);
        }
        sleep(PAUSE).await;
    }
    child
}

impl Balancer for Server {
    type Driver = Apache;
    /// A replica that ends during a request ends the connection that the request came by.
    const CLOSES_KEPT_CONNECTIONS: bool = true;

    async fn start() -> Self {
        Self::start_with(|_| String::new()).await
    }

    fn driver(&self) -> Apache {
        Apache::new(self.settings())
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Restarts for Server {
    async fn kill(&mut self) {
        self.end();
        // The last of its processes has ended when nobody listens any more.
        let began = Instant::now();
        while TcpStream::connect(self.address).await.is_ok() {
            assert!(began.elapsed() < LONG, "somebody still listens");
            sleep(PAUSE).await;
        }
    }

    async fn start_again(&mut self) {
        self.child = until_it_answers(self.folder.path(), self.address).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            println!("Apache's log:\n{}", self.log());
        }
    }
}
