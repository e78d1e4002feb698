//! How the gateway is started.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::operator::LogFormat;

/// Answer requests for models: sends each to the best replica in any cluster, as the ModelRoutes on the hub say
#[derive(Args, Clone, Debug)]
pub(crate) struct GatewayArgs {
    /// Address that clients send requests to.
    #[arg(long, env = "SKYFLEET_GATEWAY_LISTEN", default_value = "0.0.0.0:8000")]
    pub(crate) listen: SocketAddr,
    /// Address of a page that shows the routes, and of /healthz, /readyz, /metrics and /routes: for the cluster and for operators, not for clients.
    #[arg(long, env = "SKYFLEET_GATEWAY_ADMIN_LISTEN", default_value = "0.0.0.0:8001")]
    pub(crate) admin_listen: SocketAddr,
    /// The Cluster that this gateway runs in, if it runs in a member: its pods are reached directly, and come first.
    #[arg(long, env = "SKYFLEET_CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// Kubeconfig of that cluster, for the pods it has; without it, the service account of the gateway's own pod, if that is in it.
    #[arg(long, env = "SKYFLEET_CLUSTER_KUBECONFIG", requires = "cluster")]
    pub(crate) cluster_kubeconfig: Option<PathBuf>,
    /// The network that this gateway is in, if it runs in no Cluster: the pods of Clusters with this `spec.network` are reached directly.
    #[arg(long, env = "SKYFLEET_GATEWAY_NETWORK", conflicts_with = "cluster")]
    pub(crate) network: Option<String>,
    /// Folder with kubeconfigs, each named like its Cluster. Where the user may get, list and watch `endpointslices`, endpoints there come
    /// and go as they say; where it may do everything with `services/proxy`, Services of type ClusterIP are reached through the API server.
    #[arg(long, env = "SKYFLEET_API_SERVERS")]
    pub(crate) api_servers: Option<PathBuf>,
    /// Only ModelRoutes of this namespace; of all if not given.
    #[arg(long, env = "SKYFLEET_GATEWAY_NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// The operator's namespace on the hub, where this gateway tells how requests go: for the statuses of ModelRoutes, and for the
    /// placement of replicas that do not tell their load themselves. Nothing is told if not given.
    #[arg(long, env = "SKYFLEET_GATEWAY_REPORT_NAMESPACE")]
    pub(crate) report_namespace: Option<String>,
    /// This gateway's name among those that report, which no other may have; that of its pod or machine if not given.
    #[arg(long, env = "SKYFLEET_GATEWAY_NAME")]
    pub(crate) name: Option<String>,
    /// Threads that answer requests; as many as there are CPUs if not given.
    #[arg(long, env = "SKYFLEET_GATEWAY_WORKERS", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
    /// File that the access log is appended to, as JSON lines; `-` is the standard output. Nothing is logged if not given.
    #[arg(long, env = "SKYFLEET_ACCESS_LOG")]
    pub(crate) access_log: Option<PathBuf>,
    /// Seconds that new connections are still taken after a signal to stop: until nobody sends any more.
    #[arg(long, env = "SKYFLEET_GATEWAY_STOP_DELAY", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub(crate) stop_delay: u64,
    /// Seconds that requests under way may take after that.
    #[arg(long, env = "SKYFLEET_GATEWAY_DRAIN", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) drain: u64,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// Form of the log. Its detail is set by RUST_LOG.
    #[arg(long, env = "SKYFLEET_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// How TLS is spoken to clients.
#[derive(Args, Clone, Debug)]
pub(crate) struct TlsArgs {
    /// Certificate that clients are shown, with those between it and an authority: PEM, read again when it changes. Clients speak in
    /// clear text if not given.
    #[arg(long = "tls-certificate", env = "SKYFLEET_GATEWAY_TLS_CERTIFICATE", value_name = "FILE", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// The private key of that certificate: PEM, read again when it changes.
    #[arg(long = "tls-key", env = "SKYFLEET_GATEWAY_TLS_KEY", value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
    /// Serve only clients with a certificate that one of these authorities has signed: PEM, read again when it changes.
    #[arg(
        long = "tls-client-ca",
        env = "SKYFLEET_GATEWAY_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "certificate"
    )]
    pub(crate) client_ca: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command};

    use super::GatewayArgs;

    fn refusal(flags: &[&str]) -> Option<String> {
        let command = GatewayArgs::augment_args(Command::new("gateway"));
        command.try_get_matches_from([&["gateway"], flags].concat()).err().map(|error| error.to_string())
    }

    #[test]
    fn a_cluster_says_its_network_itself() {
        assert_eq!(refusal(&["--network", "a"]), None);
        let both = refusal(&["--network", "a", "--cluster", "b"]).expect("only one of them says it");
        assert!(both.contains("cannot be used with"), "{both}");
    }

    #[test]
    fn certificate_and_key_come_together() {
        assert_eq!(refusal(&[]), None);
        assert_eq!(refusal(&["--tls-certificate", "a", "--tls-key", "b", "--tls-client-ca", "c"]), None);
        for (flags, missing) in [
            (["--tls-certificate", "a"], "--tls-key <FILE>"),
            (["--tls-key", "a"], "--tls-certificate <FILE>"),
            (["--tls-client-ca", "a"], "--tls-certificate <FILE>"),
        ] {
            let said = refusal(&flags).expect("half of it is refused");
            assert!(said.contains("required arguments were not provided") && said.contains(missing), "{said}");
        }
    }
}
