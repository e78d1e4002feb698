//! Accepts connections, each worker for itself, and ends them in peace.

use std::convert::Infallible;
use std::io;
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
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_log::{self, AccessLog, Sink};
use crate::gateway::Gateway;
use crate::proxy::{Client, answer};
use crate::worker::Worker;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 4096;
/// A longer head is refused.
const MOST_HEADER_BYTES: usize = 64 * 1024;
/// Streams at once over one connection of HTTP/2.
const MOST_STREAMS: u32 = 256;
/// How long a connection that a client keeps stays open once the gateway is to stop.
const KEPT_OPEN: Duration = Duration::from_secs(5);
/// Until it is tried again to accept, where no file descriptor is left.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

/// How a gateway serves.
#[derive(Clone)]
pub struct Serving {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Threads, each with its own connections.
    pub workers: usize,
    /// Where the access log goes.
    pub log: Option<Sink>,
    /// How long a client may take for the head of a request.
    pub head: Duration,
    /// How long requests under way may take once it is to stop.
    pub drain: Duration,
}

/// Serves until `stop`, and then until what is under way has ended.
///
/// Several processes may serve the same address at once: a new one takes over from an old one without a connection refused.
///
/// # Errors
/// When the address cannot be bound, or a thread cannot be made.
pub fn serve(gateway: &Arc<Gateway>, serving: &Serving, stop: &CancellationToken) -> io::Result<()> {
    let listeners = (0..serving.workers.max(1)).map(|_| listen(serving.listen)).collect::<io::Result<Vec<_>>>()?;
    let threads = listeners.into_iter().enumerate().map(|(number, listener)| {
        let (gateway, stop, serving) = (gateway.clone(), stop.clone(), serving.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let worker = Arc::new(Worker::new(
                AccessLog::new(serving.log.clone()),
                gateway.metrics.clone(),
                gateway.relays.clone(),
            ));
            let served = runtime.block_on(work(listener, gateway, worker.clone(), (&serving, &stop)));
            worker.log.write_out();
            served
        })
    });
    let threads = threads.collect::<io::Result<Vec<_>>>()?;
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a worker has panicked"))??;
    }
    Ok(())
}

/// A listener of one worker: the kernel shares connections out among all that are bound so.
fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let domain = if address.is_ipv4() { TcpSocket::new_v4 } else { TcpSocket::new_v6 };
    // A socket needs no runtime, but its constructor is the library's.
    let socket = domain()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _within = runtime.enter();
    socket.listen(BACKLOG)?.into_std()
}

async fn work(
    listener: std::net::TcpListener,
    gateway: Arc<Gateway>,
    worker: Arc<Worker>,
    (serving, stop): (&Serving, &CancellationToken),
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let (connections, ended) = (TaskTracker::new(), CancellationToken::new());
    let mut tick = interval(access_log::EVERY);
    let take = |(stream, address): (TcpStream, SocketAddr)| {
        let (shared, stop, ended, head) =
            ((gateway.clone(), worker.clone()), stop.clone(), ended.clone(), serving.head);
        connections.spawn(async move {
            tokio::select! {
                () = connection((stream, address), shared, head, stop) => {}
                () = ended.cancelled() => {}
            }
        });
    };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => take(accepted),
                // Of a connection that is gone already nothing is to be said.
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(NO_DESCRIPTOR).await;
                }
            },
            _ = tick.tick() => {
                worker.log.write_out();
                worker.connections.close_old();
            }
            () = stop.cancelled() => break,
        }
    }
    worker.is_stopping.store(true, Ordering::Relaxed);
    // What the kernel has accepted already would be reset.
    let listener = listener.into_std()?;
    while let Ok((stream, address)) = listener.accept() {
        stream.set_nonblocking(true)?;
        take((TcpStream::from_std(stream)?, address));
    }
    drop(listener);
    connections.close();
    let deadline = Instant::now() + serving.drain;
    if timeout_at(deadline, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were cut off: they took longer than the drain");
        ended.cancel();
        connections.wait().await;
    }
    Ok(())
}

fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    (stream, address): (TcpStream, SocketAddr),
    (gateway, worker): (Arc<Gateway>, Arc<Worker>),
    head: Duration,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        return tracing::debug!(%error, %address, "a connection has gone");
    }
    let client = Client { address, scheme: "http" };
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
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(MOST_HEADER_BYTES);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MOST_STREAMS);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let stopped = async {
        stop.cancelled().await;
        // Who keeps a connection may send a request over it in this moment: it is answered, and asked to close.
        if !is_multiplexed.load(Ordering::Relaxed) {
            sleep(KEPT_OPEN).await;
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
        tracing::debug!(error = %error, %address, "a connection broke");
    }
}
