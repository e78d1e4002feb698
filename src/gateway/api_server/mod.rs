//! Requests through the API server of a cluster, to Services that are open to nobody outside of it: the `proxy` subresource of Services.

mod answers;
mod kubeconfigs;
mod paths;

pub(super) use kubeconfigs::follow;

use std::convert::Infallible;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONNECTION, HOST, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::Config;
use kube::client::ConfigExt as _;
use skyfleet_gateway::Relay;
use skyfleet_gateway::config::Endpoint;
use tokio::io::DuplexStream;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

use answers::Answer;

use crate::routing::member_client::connector;

/// Bytes on their way between the gateway and what speaks to the API server.
const BUFFER: usize = 64 * 1024;

type Sender = BoxCloneSyncService<Request<Incoming>, Response<Incoming>, BoxError>;

/// The API server of a cluster.
pub(super) struct ApiServer {
    cluster: Arc<str>,
    sender: Sender,
}

impl ApiServer {
    /// As a kubeconfig says. Nothing is asked of it yet.
    ///
    /// # Errors
    /// Its certificates or credentials are none.
    pub(super) fn new(cluster: &str, config: &Config) -> Result<Self, kube::Error> {
        let connector = config.rustls_https_connector_with_connector(connector())?;
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let sender = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer()?)
            .map_err(BoxError::from)
            .service(client);
        Ok(Self { cluster: cluster.into(), sender: BoxCloneSyncService::new(sender) })
    }
}

impl Relay for ApiServer {
    fn open(&self, endpoint: &Endpoint) -> DuplexStream {
        let (near, far) = tokio::io::duplex(BUFFER);
        let (cluster, sender, service) = (self.cluster.clone(), self.sender.clone(), paths::of_service(endpoint));
        let answered = service_fn(move |request| {
            let (cluster, sender, service) = (cluster.clone(), sender.clone(), service.clone());
            async move { Ok::<_, Infallible>(forward(&cluster, sender, service.as_deref(), request).await) }
        });
        // Whoever sends over it is told how it ends.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(far), answered));
        near
    }
}

async fn forward(
    cluster: &str,
    sender: Sender,
    service: Option<&str>,
    mut request: Request<Incoming>,
) -> Response<Answer> {
    let Some(path) = service.and_then(|service| paths::within(service, request.uri())) else {
        let message = "the path has `.` or `..` in it, which an API server must not be sent";
        return answers::refusal(StatusCode::BAD_REQUEST, message);
    };
    *request.uri_mut() = path;
    strip(request.headers_mut());
    match sender.oneshot(request).await {
        Ok(response) => answers::of_service(cluster, response).await,
        Err(error) => answers::unreachable(cluster, &*error),
    }
}

/// What an API server would take for its own is not the client's to say: who asks, and as whom. Nor does it change the protocol.
fn strip(headers: &mut HeaderMap) {
    for name in [AUTHORIZATION, HOST, CONNECTION, UPGRADE] {
        headers.remove(name);
    }
    let is_identity = |name: &str| name.starts_with("impersonate-") || name.starts_with("x-remote-");
    let identities: Vec<_> = headers.keys().filter(|name| is_identity(name.as_str())).cloned().collect();
    for name in identities {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_cannot_speak_as_somebody_else() {
        let names =
            ["authorization", "host", "impersonate-user", "impersonate-extra-scopes", "x-remote-group", "x-request-id"];
        let mut headers: HeaderMap =
            names.map(|name| (name.parse().expect("a name"), "x".parse().expect("a value"))).into_iter().collect();
        strip(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-request-id"]);
    }
}
