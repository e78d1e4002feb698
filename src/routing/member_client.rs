//! Clients of the API servers of clusters.

use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::{Body, ConfigExt as _};
use skyfleet_gateway::liveness;
use tower::{BoxError, ServiceBuilder};

/// For a connection of TCP to stand.
const CONNECT: Duration = Duration::from_secs(5);

/// Connections that notice within 20 s that the API server's machine is gone, as those to replicas do.
pub(crate) fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(liveness::QUIET));
    connector.set_keepalive_interval(Some(liveness::AGAIN));
    connector.set_keepalive_retries(Some(liveness::RETRIES));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(liveness::GONE));
    connector
}

/// A client for what a cluster's API server itself knows, over connections of its own.
///
/// # Errors
/// The certificates or credentials are none.
pub(crate) fn client(config: &Config) -> Result<kube::Client, kube::Error> {
    let connector = config.rustls_https_connector_with_connector(connector())?;
    let sender = Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let layers = ServiceBuilder::new().layer(config.base_uri_layer()).option_layer(config.auth_layer()?);
    let service = layers.map_err(BoxError::from).service(sender);
    Ok(kube::Client::new(service, config.default_namespace.clone()))
}
