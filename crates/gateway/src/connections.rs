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
use crate::causes::WithCauses;
use crate::config::Endpoint;
use crate::liveness;
use crate::multiplexed::{Lease, Multiplexed};
use crate::relay::Relays;
use crate::tls::NotSecured;
use crate::upstream::Upstream;

/// How long a connection is kept that nobody uses: less than the five seconds after which uvicorn, which serves most models, closes it.
const KEPT_IDLE: Duration = Duration::from_secs(4);
/// Idle connections to one endpoint that each worker keeps.
const MOST_IDLE: usize = 256;
/// More is refused: answers of models have few and short headers.
const MOST_HEADER_BYTES: usize = 64 * 1024;

/// A connection that takes one request at a time.
pub(crate) type Sender = SendRequest<RequestBody>;

/// What an answer comes over.
pub(crate) enum Connection {
    /// HTTP/1.1, with the [`Upstream`] that made it, if there was one.
    Http1(Sender, Option<u64>),
    /// A part of a connection of HTTP/2.
    Http2(Lease),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotConnected {
    #[error("cannot connect: {0}")]
    Refused(#[from] std::io::Error),
    #[error("not connected after {0:?}")]
    TimedOut(Duration),
    #[error("there is no way into its cluster any more: see the gateway's --api-servers")]
    NoRelay,
    #[error(
        "through an API server only HTTP/1.1 without TLS is spoken: open its Service, or take tls and protocol out of the ModelRoute"
    )]
    OnlyPlainIsRelayed,
    #[error("cannot speak TLS with it: {0}")]
    NotSecured(#[from] NotSecured),
    #[error("cannot speak HTTP: {}", WithCauses(.0))]
    Handshake(#[from] hyper::Error),
    #[error("it does not speak HTTP/2, which spec.protocol GRPC of the ModelRoute needs: {0}")]
    NoHttp2(String),
}

#[derive(Default)]
pub(crate) struct Connections {
    plain: Mutex<Idle>,
    /// By the [`Upstream`] that made them.
    secured: Mutex<HashMap<u64, Idle>>,
    pub(crate) multiplexed: Multiplexed,
}

/// Those of HTTP/1.1 that take a request.
#[derive(Default)]
struct Idle(HashMap<Arc<Endpoint>, Vec<Kept>>);

struct Kept {
    connection: Sender,
    since: Instant,
}

impl Connections {
    /// One of HTTP/1.1 that was used before, if there is any: then its other side may just be closing it.
    pub(crate) fn take(&self, endpoint: &Arc<Endpoint>, upstream: Option<&Upstream>) -> Option<Sender> {
        match upstream {
            None => locked(&self.plain).take(endpoint),
            Some(upstream) => locked(&self.secured).get_mut(&upstream.id)?.take(endpoint),
        }
    }

    /// Keeps a connection for the next request, if it can take one.
    pub(crate) fn keep(&self, endpoint: &Arc<Endpoint>, connection: Connection) {
        match connection {
            Connection::Http1(sender, None) => locked(&self.plain).keep(endpoint, sender),
            Connection::Http1(sender, Some(id)) => locked(&self.secured).entry(id).or_default().keep(endpoint, sender),
            // It is kept anyway, and has room for one more.
            Connection::Http2(lease) => drop(lease),
        }
    }

    /// Closes what was idle for too long.
    pub(crate) fn close_old(&self) {
        locked(&self.plain).close_old();
        locked(&self.secured).retain(|_, idle| {
            idle.close_old();
            !idle.0.is_empty()
        });
        self.multiplexed.close_old();
    }
}

// A panic while a lock is held cannot leave a map half changed.
fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Idle {
    fn take(&mut self, endpoint: &Arc<Endpoint>) -> Option<Sender> {
        let kept = self.0.get_mut(endpoint)?;
        // The last one used is the last one closed.
        while let Some(Kept { connection, since }) = kept.pop() {
            if connection.is_ready() && since.elapsed() < KEPT_IDLE {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&mut self, endpoint: &Arc<Endpoint>, connection: Sender) {
        if !connection.is_ready() {
            return;
        }
        let kept = Kept { connection, since: Instant::now() };
        match self.0.get_mut(endpoint) {
            Some(others) if others.len() < MOST_IDLE => others.push(kept),
            Some(_) => {}
            None => drop(self.0.insert(endpoint.clone(), vec![kept])),
        }
    }

    fn close_old(&mut self) {
        self.0.retain(|_, kept| {
            kept.retain(|kept| !kept.connection.is_closed() && kept.since.elapsed() < KEPT_IDLE);
            !kept.is_empty()
        });
    }
}

/// Makes a new one of HTTP/1.1.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    upstream: Option<&Upstream>,
    (limit, relays): (Duration, &Relays),
) -> Result<Sender, NotConnected> {
    if endpoint.is_relayed && upstream.is_none() {
        return speak(relays.open(endpoint).ok_or(NotConnected::NoRelay)?).await;
    }
    let connecting = async {
        let stream = dial(endpoint).await?;
        match upstream.and_then(|upstream| upstream.tls.as_ref()) {
            None => speak(stream).await,
            // Seldom needed, and large.
            Some(tls) => Box::pin(async { speak(tls.connect(&endpoint.host, stream).await?).await }).await,
        }
    };
    timeout(limit, connecting).await.map_err(|_| NotConnected::TimedOut(limit))?
}

/// A connection on which nothing was said yet.
pub(crate) async fn dial(endpoint: &Endpoint) -> Result<TcpStream, NotConnected> {
    if endpoint.is_relayed {
        return Err(NotConnected::OnlyPlainIsRelayed);
    }
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
    stream.set_nodelay(true)?;
    liveness::watch(&stream)?;
    Ok(stream)
}

async fn speak<S>(stream: S) -> Result<Sender, NotConnected>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MOST_HEADER_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // How it ends, is told to whoever sends over it.
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}
