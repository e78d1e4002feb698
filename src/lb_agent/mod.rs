//! The agent beside a load balancer: keeps that to what the ModelRoutes on the hub say which name it. While the hub, or the agent itself, is
//! away, the load balancer goes on by what it has.

mod args;
mod keeping;
mod pages;
mod pause;
mod state;

pub(crate) use args::LbAgentArgs;

use std::net::SocketAddr;
use std::sync::Arc;

use skyfleet_api::model_route;
use skyfleet_drivers::apache::Apache;
use skyfleet_drivers::haproxy::{self, HAProxy};
use skyfleet_drivers::nginx::Nginx;
use skyfleet_gateway::config::Config;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch as channel;
use tokio_util::task::AbortOnDropHandle;

use crate::operator::connect;
use crate::routing::own_cluster::{self, OwnClusterError};
use crate::routing::{Known, slices, watch};
use args::Server;
use state::State;

/// Why the agent ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LbAgentError {
    #[error(transparent)]
    Hub(#[from] crate::operator::OperatorError),
    #[error("cannot listen at {0}: {1}. Is another program using the address?")]
    Listen(SocketAddr, std::io::Error),
    #[error(transparent)]
    OwnCluster(#[from] OwnClusterError),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// Runs until a signal to stop.
///
/// # Errors
/// See [`LbAgentError`].
pub(crate) async fn keep(args: LbAgentArgs) -> Result<(), LbAgentError> {
    let state = Arc::new(State::new(args.driver));
    let listen = |address: SocketAddr| async move {
        TcpListener::bind(address).await.map_err(|error| LbAgentError::Listen(address, error))
    };
    let pages = listen(args.listen).await?;
    let pages = axum::serve(pages, pages::pages(state.clone()));
    let _pages = AbortOnDropHandle::new(tokio::spawn(async move { pages.await }));
    let (mut terminate, mut interrupt) = (stop(SignalKind::terminate())?, stop(SignalKind::interrupt())?);
    let (config, _followed) = follow(&args).await?;
    let server = args.server();
    let kept = async {
        match server {
            Server::Nginx(settings) => keeping::keep(&Nginx::new(settings), config, &args, &state).await,
            Server::Apache(settings) => keeping::keep(&Apache::new(settings), config, &args, &state).await,
            Server::HAProxy(settings) => {
                let Some(address) = settings.agent else {
                    keeping::keep(&HAProxy::new(settings), config, &args, &state).await;
                    return Ok(());
                };
                let asked = listen(address).await?;
                let driver = HAProxy::new(settings.clone());
                let kept = keeping::keep(&driver, config, &args, &state);
                tokio::join!(kept, haproxy::agent_check::serve(&settings, asked));
            }
        }
        Ok(())
    };
    tracing::info!(driver = ?args.driver, "keeping the load balancer to what ModelRoutes say");
    tokio::select! {
        kept = kept => kept,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

fn stop(kind: SignalKind) -> Result<tokio::signal::unix::Signal, LbAgentError> {
    signal(kind).map_err(LbAgentError::Signals)
}

type Followed = [AbortOnDropHandle<()>; 2];

/// What is to be done as the hub says, and who follows that.
async fn follow(args: &LbAgentArgs) -> Result<(channel::Receiver<Option<Arc<Config>>>, Followed), LbAgentError> {
    let hub = connect().await?;
    let own = own_cluster::connect(args.cluster.as_deref(), args.cluster_kubeconfig.as_deref()).await?;
    // What lies behind an API server only the gateway reaches.
    let (_, relayed) = channel::channel(Known::default());
    let asked = slices::Asked { own, known: relayed.clone(), namespace: args.namespace.clone() };
    let (saying, said) = channel::channel(slices::Said::new());
    let slices = AbortOnDropHandle::new(tokio::spawn(slices::follow(asked, saying)));
    let (driver, namespace) = (model_route::Driver::from(args.driver), args.namespace.clone());
    let (own, network) = (args.cluster.clone(), args.network.clone());
    let watched = watch::Watched { hub, driver, namespace, own, network, said, relayed };
    let (telling, told) = channel::channel(None);
    let watched = AbortOnDropHandle::new(tokio::spawn(watch::follow(watched, telling)));
    Ok((told, [slices, watched]))
}
