//! The gateway: answers requests for models as the ModelRoutes on the hub say. The data plane is `skyfleet-gateway`.

mod admin;
mod api_server;
mod args;
mod configured;
pub(crate) mod report;
mod tls;

pub(crate) use args::GatewayArgs;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use skyfleet_api::model_route::Driver;
use skyfleet_gateway::{Gateway, Serving, Sink, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::operator::connect;
use crate::routing::own_cluster::{self, OwnClusterError};
use crate::routing::{Known, slices, watch};
use report::Reporting;

/// How long a client may take for the head of a request: some are slow, and some only want to be in the way.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the gateway ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    #[error(transparent)]
    Hub(#[from] crate::operator::OperatorError),
    #[error("cannot serve {0}: {1}. Is another program using the address?")]
    Listen(SocketAddr, std::io::Error),
    #[error("cannot write the access log to {0}: {1}")]
    AccessLog(PathBuf, std::io::Error),
    #[error(transparent)]
    OwnCluster(#[from] OwnClusterError),
    #[error("cannot speak TLS: {0}")]
    Tls(#[from] tls::FilesError),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    #[error("cannot tell the hub of requests: {0}")]
    Report(#[from] report::BadName),
}

/// Runs until a signal, and then until the requests under way have ended.
///
/// # Errors
/// See [`GatewayError`].
pub(crate) async fn route(args: GatewayArgs) -> Result<(), GatewayError> {
    let log = args.access_log.as_deref().map(access_log).transpose()?;
    let gateway = Arc::new(Gateway::default());
    let (tls, _files_followed) = match tls::Files::of(&args.tls) {
        Some(files) => {
            let (acceptor, follows) = tls::acceptor(&gateway, files).await?;
            (Some(acceptor), Some(AbortOnDropHandle::new(tokio::spawn(follows))))
        }
        None => (None, None),
    };
    let (stopping, stop) = (CancellationToken::new(), CancellationToken::new());
    let (told, config) = channel::channel(None);
    let at = |address| move |error| GatewayError::Listen(address, error);
    let admin = TcpListener::bind(args.admin_listen).await.map_err(at(args.admin_listen))?;
    let pages = admin::pages(gateway.clone(), config, stopping.clone());
    tokio::spawn(async move { axum::serve(admin, pages).await });
    let hub = connect().await?;
    let signals = signals(stopping.clone())?;
    let reporting = reporting(&args, &hub, &gateway)?;
    let own = own_cluster::connect(args.cluster.as_deref(), args.cluster_kubeconfig.as_deref()).await?;
    let (relaying, relayed) = channel::channel(Known::default());
    let _relays = args.api_servers.map(|folder| {
        let relays = tokio::spawn(api_server::follow(folder, gateway.clone(), relaying));
        AbortOnDropHandle::new(relays)
    });
    let asked = slices::Asked { own, known: relayed.clone(), namespace: args.namespace.clone() };
    let (saying, said) = channel::channel(slices::Said::new());
    let _slices = AbortOnDropHandle::new(tokio::spawn(slices::follow(asked, saying)));
    let (driver, own, network) = (Driver::Gateway, args.cluster, args.network);
    let watched = watch::Watched { hub, driver, namespace: args.namespace, own, network, said, relayed };
    let (wanting, wanted) = channel::channel(None);
    let _watched = AbortOnDropHandle::new(tokio::spawn(watch::follow(watched, wanting)));
    let followed = tokio::spawn(configured::follow(gateway.clone(), wanted, told));
    let _followed = AbortOnDropHandle::new(followed);
    let (checked, checks_end) = (gateway.clone(), stop.clone());
    let _checked = AbortOnDropHandle::new(tokio::spawn(async move { checked.check_health(&checks_end).await }));
    let delay = Duration::from_secs(args.stop_delay);
    let ends = stop.clone();
    tokio::spawn(async move {
        signals.await;
        tracing::info!(?delay, "stopping: requests are taken until then");
        tokio::time::sleep(delay).await;
        ends.cancel();
    });
    let workers = args.workers.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let drain = Duration::from_secs(args.drain);
    let serving = Serving { listen: args.listen, workers, log, tls, head: HEAD_TIMEOUT, drain };
    tracing::info!(address = %args.listen, workers, "serving");
    let served = tokio::task::spawn_blocking(move || serve(&gateway, &serving, &stop)).await;
    let served = served.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
    if let Some(reporting) = reporting {
        Box::pin(reporting.end()).await;
    }
    served.map_err(at(args.listen))
}

/// The reports to the hub, if they are asked for.
fn reporting(
    args: &GatewayArgs,
    hub: &kube::Client,
    gateway: &Arc<Gateway>,
) -> Result<Option<Reporting>, GatewayError> {
    let Some(namespace) = &args.report_namespace else { return Ok(None) };
    let name = report::name(args.name.as_deref())?;
    Ok(Some(Reporting::start(hub.clone(), namespace, name, gateway.clone())))
}

fn access_log(path: &Path) -> Result<Sink, GatewayError> {
    if path == Path::new("-") {
        return Ok(Arc::new(Mutex::new(std::io::stdout())));
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let file = file.map_err(|error| GatewayError::AccessLog(path.to_owned(), error))?;
    Ok(Arc::new(Mutex::new(file)))
}

/// Ends with the first signal to stop.
fn signals(stopping: CancellationToken) -> Result<impl Future<Output = ()>, GatewayError> {
    let listen = |kind| signal(kind).map_err(GatewayError::Signals);
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopping.cancel();
    })
}
