//! Connections of HTTP/2 to endpoints, each for many requests at once. Each worker has its own.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http2::SendRequest;
use tokio::time::{Instant, timeout};

use crate::body::{Progress, RequestBody};
use crate::config::Endpoint;
use crate::connections::NotConnected;
use crate::http2;
use crate::upstream::Upstream;

/// Requests at once over one connection, also where the endpoint would take more: all of them wait for what the network lost.
const MOST_STREAMS: usize = 100;
/// How long a connection is kept that nobody uses: shorter than what balancers and firewalls forget in.
const KEPT_IDLE: Duration = Duration::from_mins(1);

/// All of one worker, by how they are spoken and to whom.
#[derive(Default)]
pub(crate) struct Multiplexed(Mutex<Pools>);

type Pools = HashMap<(u64, Arc<Endpoint>), Arc<Pool>>;

/// Those to one endpoint.
#[derive(Default)]
struct Pool {
    connections: Mutex<Vec<Arc<Shared>>>,
    /// Held by who makes a connection: others wait for it instead of making as many as they are.
    connecting: tokio::sync::Mutex<()>,
}

/// A connection.
struct Shared {
    sender: SendRequest<RequestBody>,
    /// Requests that have not ended.
    streams: AtomicUsize,
    /// As many as the endpoint takes at once.
    most: Arc<AtomicUsize>,
    /// It gets no more of them.
    is_retired: AtomicBool,
    /// When the last one ended.
    used: Mutex<Instant>,
}

/// The place of one request on a connection, until it is dropped.
pub(crate) struct Lease {
    shared: Arc<Shared>,
    pub(crate) sender: SendRequest<RequestBody>,
    /// What was sent of the request by now.
    pub(crate) progress: Progress,
    /// What it was when it was looked at last.
    seen: u64,
}

impl Multiplexed {
    /// A place on a connection that is there, or else on a new one.
    pub(crate) async fn lease(
        &self,
        endpoint: &Arc<Endpoint>,
        upstream: &Upstream,
        (limit, progress): (Duration, &Progress),
    ) -> Result<Lease, NotConnected> {
        let pool = self.pools().entry((upstream.id, endpoint.clone())).or_default().clone();
        if let Some(lease) = pool.lease(progress) {
            return Ok(lease);
        }
        let connecting = async {
            let _turn = pool.connecting.lock().await;
            if let Some(lease) = pool.lease(progress) {
                return Ok(lease);
            }
            let (sender, connection) = http2::connect(endpoint, upstream.tls.as_ref()).await?;
            let shared = Arc::new(Shared::new(sender, connection.current_max_send_streams()));
            tokio::spawn(drive(connection, shared.most.clone()));
            pool.connections().push(shared.clone());
            Ok(Lease::new(shared, progress))
        };
        timeout(limit, connecting).await.map_err(|_| NotConnected::TimedOut(limit))?
    }

    /// Closes what was idle for too long.
    pub(crate) fn close_old(&self) {
        self.pools().retain(|_, pool| {
            pool.connections().retain(|shared| shared.is_wanted());
            // Who is making a connection has it as well.
            Arc::strong_count(pool) > 1 || !pool.connections().is_empty()
        });
    }

    // A panic while the lock is held cannot leave the map half changed.
    fn pools(&self) -> MutexGuard<'_, Pools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn lease(&self, progress: &Progress) -> Option<Lease> {
        let mut connections = self.connections();
        connections.retain(|shared| shared.takes_more());
        let shared = connections.iter().find(|shared| shared.has_room())?;
        Some(Lease::new(shared.clone(), progress))
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Arc<Shared>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn new(sender: SendRequest<RequestBody>, most: usize) -> Self {
        let (streams, used) = (AtomicUsize::new(0), Mutex::new(Instant::now()));
        Self { sender, streams, most: Arc::new(AtomicUsize::new(most)), is_retired: AtomicBool::new(false), used }
    }

    fn takes_more(&self) -> bool {
        !self.is_retired.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    fn has_room(&self) -> bool {
        self.streams.load(Ordering::Relaxed) < self.most.load(Ordering::Relaxed).min(MOST_STREAMS)
    }

    fn is_wanted(&self) -> bool {
        let is_idle = self.streams.load(Ordering::Relaxed) == 0 && self.used().elapsed() > KEPT_IDLE;
        self.takes_more() && !is_idle
    }

    fn used(&self) -> MutexGuard<'_, Instant> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    fn new(shared: Arc<Shared>, progress: &Progress) -> Self {
        shared.streams.fetch_add(1, Ordering::Relaxed);
        let (sender, progress) = (shared.sender.clone(), progress.clone());
        Self { seen: progress.load(Ordering::Relaxed), shared, sender, progress }
    }

    /// Others get no place on this connection any more; those that have one keep it.
    pub(crate) fn retire(&self) {
        self.shared.is_retired.store(true, Ordering::Relaxed);
    }

    /// Whether more of the request was sent since this was asked last.
    pub(crate) fn has_moved(&mut self) -> bool {
        let seen = self.progress.load(Ordering::Relaxed);
        std::mem::replace(&mut self.seen, seen) != seen
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.shared.used() = Instant::now();
        self.shared.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has a connection work until it ends, and notes how many requests it takes.
async fn drive(mut connection: http2::Connected, most: Arc<AtomicUsize>) {
    let ended = poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx);
        most.store(connection.current_max_send_streams(), Ordering::Relaxed);
        ended
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a connection of HTTP/2 to a replica broke");
    }
}
