//! A connection of a client, from its first to its last byte.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::{self, Builder};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;
use crate::liveness;
use crate::preface::{Spoken, spoken};
use crate::proxy::{Client, answer};
use crate::tls::{Acceptor, H2, HTTP_1_1};
use crate::worker::Worker;

/// A longer head is refused.
const MOST_HEADER_BYTES: usize = 64 * 1024;
/// Streams at once over one connection of HTTP/2.
const MOST_STREAMS: u32 = 256;
/// Bytes of one stream that nobody takes yet, and of all of a connection: one that stands still leaves room for the others.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// After so long without a word, a connection of HTTP/2 is asked whether it is still there.
const PING_AFTER: Duration = Duration::from_secs(30);
/// So long it has to answer that.
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// How long a connection that a client keeps stays open once the gateway is to stop.
const KEPT_OPEN: Duration = Duration::from_secs(5);

/// What all connections of a worker go by.
#[derive(Clone)]
pub(crate) struct Serves {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) worker: Arc<Worker>,
    /// How long a client may take for a TLS handshake, and for the head of a request.
    pub(crate) head: Duration,
    pub(crate) stop: CancellationToken,
    /// In clear text without.
    pub(crate) tls: Option<Arc<Acceptor>>,
}

/// Serves one connection until it ends.
pub(crate) async fn serve((stream, address): (TcpStream, SocketAddr), serves: Serves) {
    if let Err(error) = stream.set_nodelay(true).and_then(|()| liveness::watch_client(&stream)) {
        return tracing::debug!(%error, %address, "a connection has gone");
    }
    match serves.tls.clone() {
        None => {
            let builder = builder(serves.head);
            let spoken = tokio::select! {
                spoken = spoken(&stream, serves.head) => spoken,
                () = until_closed(&serves.stop) => return,
            };
            let builder = match spoken {
                Ok(Some(Spoken::Http1)) => builder.http1_only(),
                Ok(Some(Spoken::Http2)) => builder.http2_only(),
                Ok(None) => return,
                Err(error) => return tracing::debug!(%error, %address, "a connection has gone"),
            };
            over(TokioIo::new(stream), builder, Client { address, scheme: "http" }, serves).await;
        }
        // What each connection in clear text carries along stays small without it.
        Some(acceptor) => Box::pin(secured((stream, address), &acceptor, serves)).await,
    }
}

/// Who keeps a connection may send a request over it in the moment in which the gateway is to stop: it is answered, and asked to close.
async fn until_closed(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(KEPT_OPEN).await;
}

async fn secured((stream, address): (TcpStream, SocketAddr), acceptor: &Acceptor, serves: Serves) {
    let Some(stream) = acceptor.accept(stream, serves.head).await else { return };
    let builder = builder(serves.head);
    let builder = match stream.get_ref().1.alpn_protocol() {
        Some(H2) => builder.http2_only(),
        Some(HTTP_1_1) => builder.http1_only(),
        _ => builder,
    };
    over(TokioIo::new(stream), builder, Client { address, scheme: "https" }, serves).await;
}

fn builder(head: Duration) -> Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(MOST_HEADER_BYTES);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(MOST_STREAMS);
    http2.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    http2.keep_alive_interval(PING_AFTER).keep_alive_timeout(PONG_WITHIN);
    builder
}

async fn over<S>(stream: TokioIo<S>, builder: Builder<TokioExecutor>, client: Client, shared: Serves)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Serves { gateway, worker, stop, .. } = shared;
    let is_multiplexed = Arc::new(AtomicBool::new(false));
    let multiplexed = is_multiplexed.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (gateway, worker) = (gateway.clone(), worker.clone());
        let is_http2 = request.version() == Version::HTTP_2;
        multiplexed.store(is_http2, Ordering::Relaxed);
        async move {
            let mut response = answer(&gateway, &worker, client, request).await;
            if worker.is_stopping.load(Ordering::Relaxed) && !is_http2 {
                response.headers_mut().entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(stream, service));
    let stopped = async {
        stop.cancelled().await;
        // HTTP/2 has a word of its own for it.
        if !is_multiplexed.load(Ordering::Relaxed) {
            until_closed(&stop).await;
        }
    };
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(error = %error, address = %client.address, "a connection broke");
    }
}
