//! How an agent is started.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use skyfleet_api::model_route;
use skyfleet_drivers::{apache, haproxy, nginx};

use crate::operator::LogFormat;

/// Keep a load balancer on this machine to what the ModelRoutes on the hub say whose `spec.drivers` name it
#[derive(Args, Clone, Debug)]
pub(crate) struct LbAgentArgs {
    /// Which load balancer it is.
    #[arg(long, env = "SKYFLEET_LB_DRIVER", value_enum)]
    pub(crate) driver: DriverName,
    /// Address of /healthz, /readyz and /state.
    #[arg(long, env = "SKYFLEET_LB_LISTEN", default_value = "127.0.0.1:8002")]
    pub(crate) listen: SocketAddr,
    /// The Cluster that the load balancer runs in, if it runs in a member: its pods are reached directly, and come first.
    #[arg(long, env = "SKYFLEET_CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// Kubeconfig of that cluster, for the pods it has; without it, the service account of the agent's own pod, if that is in it.
    #[arg(long, env = "SKYFLEET_CLUSTER_KUBECONFIG", requires = "cluster")]
    pub(crate) cluster_kubeconfig: Option<PathBuf>,
    /// The network that the load balancer is in, if it runs in no Cluster.
    #[arg(long, env = "SKYFLEET_LB_NETWORK", conflicts_with = "cluster")]
    pub(crate) network: Option<String>,
    /// Only ModelRoutes of this namespace; of all if not given.
    #[arg(long, env = "SKYFLEET_LB_NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Seconds from one look at the load balancer to the next: hand-made changes are undone then.
    #[arg(long, env = "SKYFLEET_LB_INTERVAL", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) interval: u64,
    #[command(flatten)]
    pub(crate) nginx: NginxArgs,
    #[command(flatten)]
    pub(crate) haproxy: HAProxyArgs,
    #[command(flatten)]
    pub(crate) apache: ApacheArgs,
    /// Form of the log. Its detail is set by RUST_LOG.
    #[arg(long, env = "SKYFLEET_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// A load balancer.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DriverName {
    /// NGINX.
    Nginx,
    /// HAProxy.
    #[value(name = "haproxy")]
    HAProxy,
    /// Apache httpd.
    Apache,
}

impl From<DriverName> for model_route::Driver {
    fn from(name: DriverName) -> Self {
        match name {
            DriverName::Nginx => Self::Nginx,
            DriverName::HAProxy => Self::HAProxy,
            DriverName::Apache => Self::Apache,
        }
    }
}

/// NGINX; what is not given is as docs/drivers/nginx.md says.
#[derive(Args, Clone, Debug)]
pub(crate) struct NginxArgs {
    /// NGINX's configuration.
    #[arg(
        id = "nginx-configuration",
        long = "nginx-configuration",
        env = "SKYFLEET_NGINX_CONFIGURATION",
        value_name = "FILE"
    )]
    configuration: Option<PathBuf>,
    /// The agent's folder for NGINX.
    #[arg(id = "nginx-folder", long = "nginx-folder", env = "SKYFLEET_NGINX_FOLDER", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Where NGINX's workers tell which generation they have, on this machine.
    #[arg(id = "nginx-control", long = "nginx-control", env = "SKYFLEET_NGINX_CONTROL", value_name = "ADDRESS")]
    control: Option<SocketAddr>,
    /// NGINX's program and what it is always given, in words.
    #[arg(id = "nginx-program", long = "nginx-program", env = "SKYFLEET_NGINX_PROGRAM", value_name = "COMMAND", value_parser = command)]
    program: Option<Command>,
    /// The command that reloads NGINX, in words.
    #[arg(id = "nginx-reload", long = "nginx-reload", env = "SKYFLEET_NGINX_RELOAD", value_name = "COMMAND", value_parser = command)]
    reload: Option<Command>,
    /// Authorities for TLS with replicas where a route names none.
    #[arg(
        id = "nginx-authorities",
        long = "nginx-authorities",
        env = "SKYFLEET_NGINX_AUTHORITIES",
        value_name = "FILE"
    )]
    authorities: Option<PathBuf>,
}

/// HAProxy; what is not given is as docs/drivers/haproxy.md says.
#[derive(Args, Clone, Debug)]
pub(crate) struct HAProxyArgs {
    /// The agent's folder for HAProxy.
    #[arg(id = "haproxy-folder", long = "haproxy-folder", env = "SKYFLEET_HAPROXY_FOLDER", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The stats socket, of level admin.
    #[arg(id = "haproxy-socket", long = "haproxy-socket", env = "SKYFLEET_HAPROXY_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The socket of the master process.
    #[arg(
        id = "haproxy-master-socket",
        long = "haproxy-master-socket",
        env = "SKYFLEET_HAPROXY_MASTER_SOCKET",
        value_name = "PATH"
    )]
    master_socket: Option<PathBuf>,
    /// The command that tests a configuration, in words, of which `{}` becomes the agent's part.
    #[arg(id = "haproxy-test", long = "haproxy-test", env = "SKYFLEET_HAPROXY_TEST", value_name = "COMMAND", value_parser = command)]
    test: Option<Command>,
    /// Where HAProxy asks for weights, for Least Response Time.
    #[arg(
        id = "haproxy-agent-check",
        long = "haproxy-agent-check",
        env = "SKYFLEET_HAPROXY_AGENT_CHECK",
        value_name = "ADDRESS"
    )]
    agent_check: Option<SocketAddr>,
}

/// Apache httpd; what is not given is as docs/drivers/apache.md says.
#[derive(Args, Clone, Debug)]
pub(crate) struct ApacheArgs {
    /// The agent's folder for Apache httpd.
    #[arg(id = "apache-folder", long = "apache-folder", env = "SKYFLEET_APACHE_FOLDER", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Where the virtual host takes requests of this machine.
    #[arg(id = "apache-address", long = "apache-address", env = "SKYFLEET_APACHE_ADDRESS", value_name = "ADDRESS")]
    address: Option<SocketAddr>,
    /// A name that the virtual host answers to.
    #[arg(id = "apache-host", long = "apache-host", env = "SKYFLEET_APACHE_HOST")]
    host: Option<String>,
    /// Who has signed the virtual host's certificate, if it takes TLS only.
    #[arg(
        id = "apache-manager-authorities",
        long = "apache-manager-authorities",
        env = "SKYFLEET_APACHE_MANAGER_AUTHORITIES",
        value_name = "FILE"
    )]
    manager_authorities: Option<PathBuf>,
    /// The command that tests the configuration, in words.
    #[arg(id = "apache-test", long = "apache-test", env = "SKYFLEET_APACHE_TEST", value_name = "COMMAND", value_parser = command)]
    test: Option<Command>,
    /// The command for a graceful restart, in words.
    #[arg(id = "apache-restart", long = "apache-restart", env = "SKYFLEET_APACHE_RESTART", value_name = "COMMAND", value_parser = command)]
    restart: Option<Command>,
    /// Which modules are loaded beside those that every route needs.
    #[arg(
        id = "apache-modules",
        long = "apache-modules",
        env = "SKYFLEET_APACHE_MODULES",
        value_enum,
        value_delimiter = ','
    )]
    modules: Vec<Module>,
    /// Authorities for TLS with replicas where a route names none.
    #[arg(
        id = "apache-authorities",
        long = "apache-authorities",
        env = "SKYFLEET_APACHE_AUTHORITIES",
        value_name = "FILE"
    )]
    authorities: Option<PathBuf>,
}

/// A module of Apache httpd that only some routes need.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    /// `mod_proxy_hcheck`, for health checks.
    #[value(name = "proxy_hcheck")]
    Hcheck,
    /// `mod_proxy_http2`, for `protocol: GRPC`.
    #[value(name = "proxy_http2")]
    Http2,
    /// `mod_ssl`, for TLS with replicas.
    Ssl,
}

/// A program and its arguments.
#[derive(Clone, Debug)]
struct Command(Vec<String>);

fn command(text: &str) -> Result<Command, String> {
    let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    if words.is_empty() { Err("it must name a program".to_owned()) } else { Ok(Command(words)) }
}

/// A load balancer, and how it is set up.
pub(super) enum Server {
    Nginx(nginx::Settings),
    HAProxy(haproxy::Settings),
    Apache(apache::Settings),
}

impl LbAgentArgs {
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs(self.interval)
    }

    pub(super) fn server(&self) -> Server {
        match self.driver {
            DriverName::Nginx => Server::Nginx(self.nginx.settings()),
            DriverName::HAProxy => Server::HAProxy(self.haproxy.settings()),
            DriverName::Apache => Server::Apache(self.apache.settings()),
        }
    }
}

fn or<T: Clone>(given: Option<&T>, usual: T) -> T {
    given.cloned().unwrap_or(usual)
}

fn words(given: Option<&Command>, usual: Vec<String>) -> Vec<String> {
    given.map_or(usual, |Command(words)| words.clone())
}

impl NginxArgs {
    fn settings(&self) -> nginx::Settings {
        let usual = nginx::Settings::default();
        nginx::Settings {
            configuration: or(self.configuration.as_ref(), usual.configuration),
            folder: or(self.folder.as_ref(), usual.folder),
            control: or(self.control.as_ref(), usual.control),
            program: words(self.program.as_ref(), usual.program),
            reload: words(self.reload.as_ref(), usual.reload),
            authorities: or(self.authorities.as_ref(), usual.authorities),
            ..usual
        }
    }
}

impl HAProxyArgs {
    fn settings(&self) -> haproxy::Settings {
        let usual = haproxy::Settings::default();
        haproxy::Settings {
            folder: or(self.folder.as_ref(), usual.folder),
            runtime: or(self.socket.as_ref(), usual.runtime),
            master: or(self.master_socket.as_ref(), usual.master),
            test: words(self.test.as_ref(), usual.test),
            agent: self.agent_check.or(usual.agent),
            ..usual
        }
    }
}

impl ApacheArgs {
    fn settings(&self) -> apache::Settings {
        let usual = apache::Settings::default();
        let has = |module| self.modules.contains(&module);
        apache::Settings {
            directory: or(self.folder.as_ref(), usual.directory),
            manager: or(self.address.as_ref(), usual.manager),
            manager_authorities: self.manager_authorities.clone().or(usual.manager_authorities),
            host: or(self.host.as_ref(), usual.host),
            test: words(self.test.as_ref(), usual.test),
            restart: words(self.restart.as_ref(), usual.restart),
            modules: apache::Modules { hcheck: has(Module::Hcheck), http2: has(Module::Http2), ssl: has(Module::Ssl) },
            authorities: or(self.authorities.as_ref(), usual.authorities),
            ..usual
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};

    use super::*;

    fn parsed(flags: &[&str]) -> Result<LbAgentArgs, clap::Error> {
        let command = LbAgentArgs::augment_args(Command::new("lb-agent"));
        LbAgentArgs::from_arg_matches(&command.try_get_matches_from([&["lb-agent"], flags].concat())?)
    }

    #[test]
    fn what_is_not_given_is_as_the_documentation_says() {
        LbAgentArgs::augment_args(Command::new("lb-agent")).debug_assert();
        let Server::Nginx(usual) = parsed(&["--driver", "nginx"]).expect("flags").server() else { panic!("NGINX") };
        assert_eq!(usual.reload, nginx::Settings::default().reload);
        let flags = [
            "--driver",
            "apache",
            "--apache-restart",
            "systemctl reload  apache2",
            "--apache-modules",
            "ssl,proxy_hcheck",
        ];
        let Server::Apache(settings) = parsed(&flags).expect("flags").server() else { panic!("Apache httpd") };
        assert_eq!(settings.restart, ["systemctl", "reload", "apache2"]);
        assert_eq!(settings.modules, apache::Modules { hcheck: true, http2: false, ssl: true });
        let Server::HAProxy(settings) =
            parsed(&["--driver", "haproxy", "--haproxy-folder", "/x"]).expect("flags").server()
        else {
            panic!("HAProxy")
        };
        assert_eq!((settings.folder, settings.test), ("/x".into(), haproxy::Settings::default().test));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (flags, said) in [
            (&[][..], "--driver <DRIVER>"),
            (&["--driver", "envoy"], "possible values: nginx, haproxy, apache"),
            (&["--driver", "nginx", "--nginx-reload", " "], "it must name a program"),
            (&["--driver", "nginx", "--network", "a", "--cluster", "b"], "cannot be used with"),
        ] {
            let refusal = parsed(flags).expect_err("wrong").to_string();
            assert!(refusal.contains(said), "{refusal}");
        }
    }
}
