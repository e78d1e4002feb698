//! Accepts connections, each worker for itself, and ends them in peace.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_log::{self, AccessLog, Sink};
use crate::connection::{self, Serves};
use crate::gateway::Gateway;
use crate::handover;
use crate::tls::Acceptor;
use crate::worker::Worker;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 4096;
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
    /// How TLS is spoken to clients; in clear text if not given.
    pub tls: Option<Arc<Acceptor>>,
    /// How long a client may take for the head of a request, and before that for the TLS handshake.
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
    let (head, tls) = (serving.head, serving.tls.clone());
    let serves = Serves { gateway, worker: worker.clone(), head, stop: stop.clone(), tls };
    let take = |accepted: (TcpStream, SocketAddr)| {
        let (serves, ended) = (serves.clone(), ended.clone());
        connections.spawn(async move {
            tokio::select! {
                () = connection::serve(accepted, serves) => {}
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
    if let Err(error) = handover::take_no_more(&listener) {
        tracing::debug!(%error, "connections may be reset that begin in this moment");
    }
    let handshakes = Instant::now() + handover::HANDSHAKES;
    while let Ok(accepted) = timeout_at(handshakes, listener.accept()).await {
        match accepted {
            Ok(accepted) => take(accepted),
            Err(error) if is_of_connection(&error) => {}
            Err(_) => sleep(NO_DESCRIPTOR).await,
        }
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
