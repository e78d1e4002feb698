//! Connections to endpoints, kept while they are idle. Each worker has its own: nothing is handed from one thread to another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::body::RequestBody;
use crate::config::Endpoint;
use crate::liveness;
use crate::relay::Relays;

/// How long a connection is kept that nobody uses: less than the five seconds after which uvicorn, which serves most models, closes it.
const KEPT_IDLE: Duration = Duration::from_secs(4);
/// Idle connections to one endpoint that each worker keeps.
const MOST_IDLE: usize = 256;
/// More is refused: answers of models have few and short headers.
const MOST_HEADER_BYTES: usize = 64 * 1024;

/// A connection that takes one request at a time.
pub(crate) type Connection = SendRequest<RequestBody>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotConnected {
    #[error("cannot connect: {0}")]
    Refused(#[from] std::io::Error),
    #[error("not connected after {0:?}")]
    TimedOut(Duration),
    #[error("there is no way into its cluster any more: see the gateway's --api-servers")]
    NoRelay,
    #[error("cannot speak HTTP: {0}")]
    Handshake(#[from] hyper::Error),
}

#[derive(Default)]
pub(crate) struct Connections {
    idle: Mutex<HashMap<Arc<Endpoint>, Vec<Kept>>>,
}

struct Kept {
    connection: Connection,
    since: Instant,
}

impl Connections {
    /// One that was used before, if there is any: then its other side may just be closing it.
    pub(crate) fn take(&self, endpoint: &Arc<Endpoint>) -> Option<Connection> {
        let mut idle = self.idle();
        let kept = idle.get_mut(endpoint)?;
        // The last one used is the last one closed.
        while let Some(Kept { connection, since }) = kept.pop() {
            if connection.is_ready() && since.elapsed() < KEPT_IDLE {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request, if it can take one.
    pub(crate) fn keep(&self, endpoint: &Arc<Endpoint>, connection: Connection) {
        if !connection.is_ready() {
            return;
        }
        let kept = Kept { connection, since: Instant::now() };
        let mut idle = self.idle();
        match idle.get_mut(endpoint) {
            Some(others) if others.len() < MOST_IDLE => others.push(kept),
            Some(_) => {}
            None => drop(idle.insert(endpoint.clone(), vec![kept])),
        }
    }

    /// Closes what was idle for too long.
    pub(crate) fn close_old(&self) {
        self.idle().retain(|_, kept| {
            kept.retain(|kept| !kept.connection.is_closed() && kept.since.elapsed() < KEPT_IDLE);
            !kept.is_empty()
        });
    }

    // A panic while the lock is held cannot leave the map half changed.
    fn idle(&self) -> MutexGuard<'_, HashMap<Arc<Endpoint>, Vec<Kept>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a new one.
pub(crate) async fn connect(endpoint: &Endpoint, limit: Duration, relays: &Relays) -> Result<Connection, NotConnected> {
    if endpoint.is_relayed {
        let stream = relays.open(endpoint).ok_or(NotConnected::NoRelay)?;
        return speak(stream).await;
    }
    let connecting = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
    let stream = timeout(limit, connecting).await.map_err(|_| NotConnected::TimedOut(limit))??;
    stream.set_nodelay(true)?;
    liveness::watch(&stream)?;
    speak(stream).await
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Connection, NotConnected> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MOST_HEADER_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // How it ends, is told to whoever sends over it.
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}
