//! Starts the embedding server: listen first, load the model, be ready, stop on SIGTERM.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use inference_server::args::Args;
use inference_server::embedder::{Embedder, EmbedderError};
use inference_server::server::{Server, router};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

#[derive(Debug, thiserror::Error)]
enum MainError {
    #[error("POD_NAME or CLUSTER cannot be a header's value: {0}")]
    Name(#[from] axum::http::header::InvalidHeaderValue),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("the server failed: {0}")]
    Serve(std::io::Error),
    #[error("cannot wait for SIGTERM: {0}")]
    Signal(std::io::Error),
    #[error(transparent)]
    Model(#[from] EmbedderError),
    #[error("loading the model panicked: {0}")]
    Load(#[from] tokio::task::JoinError),
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}

/// Serves until SIGTERM or SIGINT; ends with an error at once when the model cannot be loaded.
async fn run(args: Args) -> Result<(), MainError> {
    let address = SocketAddr::new(args.host, args.port);
    let listener = TcpListener::bind(address).await.map_err(|source| MainError::Listen { address, source })?;
    let server = Arc::new(Server::new(&args)?);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, router(Arc::clone(&server))).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let serving = tokio::spawn(serving.into_future());
    tracing::info!(%address, "listening");

    let mut terminate = signal(SignalKind::terminate()).map_err(MainError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(MainError::Signal)?;
    let delay = Duration::from_secs(args.shutdown_delay);
    let ended = async {
        tokio::select! { _ = terminate.recv() => delay, _ = interrupt.recv() => Duration::ZERO }
    };
    tokio::pin!(ended);
    let delay = tokio::select! {
        delay = &mut ended => delay,
        outcome = load(args, server) => {
            outcome?;
            ended.await
        }
    };
    tracing::info!(seconds = delay.as_secs(), "stopping");
    tokio::time::sleep(delay).await;
    drop(stop);
    serving.await?.map_err(MainError::Serve)
}

async fn load(args: Args, server: Arc<Server>) -> Result<(), MainError> {
    tokio::time::sleep(Duration::from_secs(args.startup_delay)).await;
    let start = Instant::now();
    let model = tokio::task::spawn_blocking(move || {
        let model = Embedder::load(&args.model_dir, args.max_sequence_length.into())?;
        model.self_test().map(|()| model)
    })
    .await??;
    server.set_model(model);
    tracing::info!(seconds = start.elapsed().as_secs_f64(), "the model answered its self-test: ready");
    Ok(())
}
