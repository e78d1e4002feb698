//! A load balancer as its user would have set it up, and the agent beside it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use skyfleet_e2e::{Cluster, artifacts};

use crate::operator_process::free_address;
use crate::support::get;

const APACHE_MODULES: [&str; 11] = [
    "mpm_event",
    "authz_core",
    "authz_host",
    "headers",
    "lbmethod_bybusyness",
    "lbmethod_byrequests",
    "proxy",
    "proxy_balancer",
    "proxy_http",
    "rewrite",
    "slotmem_shm",
];

/// Both end with this value. When the test fails the agent's log is printed.
pub(super) struct Balanced {
    pub(super) name: &'static str,
    pub(super) address: String,
    agent: String,
    processes: [Child; 2],
    folder: tempfile::TempDir,
}

impl Balanced {
    pub(super) fn nginx(hub: &Cluster) -> Self {
        let (folder, address) = (folder(), free_address());
        let path = folder.path().display().to_string();
        for name in ["conf", "managed"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        symlink(format!("{path}/managed/live"), format!("{path}/conf/skyfleet")).unwrap();
        let configuration = format!("{path}/conf/nginx.conf");
        fs::write(
            &configuration,
            format!(
                "user root; daemon off; worker_processes 2; pid {path}/pid; error_log {path}/error.log;\n\
                 events {{ worker_connections 1024; }}\n\
                 http {{ access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;\n\
                 fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;\n\
                 include skyfleet/http*.conf;\n\
                 server {{ listen {address}; include skyfleet/server*.conf; location / {{ return 404; }} }} }}\n"
            ),
        )
        .unwrap();
        let server = start(Command::new("nginx").arg("-c").arg(&configuration), folder.path());
        let reload = format!("nginx -s reload -c {configuration}");
        let (managed, control) = (format!("{path}/managed"), free_address());
        let flags = [
            ["--nginx-configuration", &configuration],
            ["--nginx-folder", &managed],
            ["--nginx-control", &control],
            ["--nginx-reload", &reload],
        ];
        Self::with_agent("nginx", (hub, folder), (address, server), flags.as_flattened())
    }

    pub(super) fn haproxy(hub: &Cluster) -> Self {
        let (folder, address) = (folder(), free_address());
        let path = folder.path().display().to_string();
        fs::create_dir(folder.path().join("managed")).unwrap();
        for name in ["skyfleet.cfg", "routes.map"] {
            fs::write(folder.path().join("managed").join(name), "").unwrap();
        }
        let own = format!("{path}/haproxy.cfg");
        fs::write(
            &own,
            format!(
                "global\n  stats socket {path}/admin.sock mode 600 level admin expose-fd listeners\n\
                 defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
                 frontend web\n  bind {address}\n  option idle-close-on-response\n  \
                 http-request set-var-fmt(txn.skyfleet_asked) \"%[path] %[req.hdr(host),field(1,:),lower] %[req.fhdr(x-gateway-model-name)]\"\n  \
                 http-request set-var(txn.skyfleet) var(txn.skyfleet_asked),map_reg({path}/managed/routes.map)\n  \
                 use_backend %[var(txn.skyfleet)] if {{ var(txn.skyfleet) -m found }}\n"
            ),
        )
        .unwrap();
        let (master, managed) = (format!("{path}/master.sock"), format!("{path}/managed/skyfleet.cfg"));
        let mut command = Command::new("haproxy");
        let server = start(command.args(["-W", "-S", &master, "-f", &own, "-f", &managed]), folder.path());
        let (managed, socket) = (format!("{path}/managed"), format!("{path}/admin.sock"));
        let (test, check) = (format!("haproxy -c -f {own} -f {{}}"), free_address());
        let flags = [
            ["--haproxy-folder", &managed],
            ["--haproxy-socket", &socket],
            ["--haproxy-master-socket", &master],
            ["--haproxy-test", &test],
            ["--haproxy-agent-check", &check],
        ];
        Self::with_agent("haproxy", (hub, folder), (address, server), flags.as_flattened())
    }

    pub(super) fn apache(hub: &Cluster) -> Self {
        let (folder, address) = (folder(), free_address());
        let path = folder.path().display().to_string();
        let own = format!("{path}/apache2.conf");
        let modules =
            APACHE_MODULES.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
        fs::write(
            &own,
            format!(
                "ServerRoot {path}\nDefaultRuntimeDir {path}\nPidFile {path}/pid\nMutex fcntl:{path}\nErrorLog {path}/error.log\n\
                 ServerName localhost\nListen {address}\n{}\nUser www-data\nGroup www-data\n\
                 <VirtualHost {address}>\n  IncludeOptional {path}/managed/skyfleet.conf\n</VirtualHost>\n",
                modules.concat()
            ),
        )
        .unwrap();
        let server = start(Command::new("apache2").args(["-DFOREGROUND", "-f", &own]), folder.path());
        let (test, restart) = (format!("apache2 -f {own} -t"), format!("apache2 -f {own} -k graceful"));
        let managed = format!("{path}/managed");
        let flags = [
            ["--apache-folder", &managed],
            ["--apache-address", &address],
            ["--apache-test", &test],
            ["--apache-restart", &restart],
        ];
        Self::with_agent("apache", (hub, folder), (address.clone(), server), flags.as_flattened())
    }

    fn with_agent(
        name: &'static str,
        (hub, folder): (&Cluster, tempfile::TempDir),
        (address, server): (String, Child),
        flags: &[&str],
    ) -> Self {
        let (agent, program) = (free_address(), artifacts::skyfleet_program().unwrap());
        let mut command = Command::new(program);
        command.args(["lb-agent", "--driver", name, "--listen", &agent, "--interval", "1"]).args(flags);
        let process = start(command.env("KUBECONFIG", hub.kubeconfig()), folder.path());
        Self { name, address, agent, processes: [process, server], folder }
    }

    /// How it stands, as the agent says.
    pub(super) async fn state(&self) -> Result<Value, String> {
        Ok(serde_json::from_str(&get(&self.agent, "/state").await?).unwrap())
    }
}

impl Drop for Balanced {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let group = Pid::from_raw(process.id().try_into().unwrap());
            let _gone = killpg(group, Signal::SIGKILL);
            let _waited = process.wait();
        }
        if std::thread::panicking() {
            for log in ["log", "error.log"] {
                let text = fs::read_to_string(self.folder.path().join(log)).unwrap_or_default();
                eprintln!("{} {log}:\n{text}", self.name);
            }
        }
    }
}

/// One that the servers' own users can look into.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// In a group of its own, with what it says in a file.
fn start(command: &mut Command, folder: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0).spawn().unwrap()
}
