//! Simulated members: API servers that speak HTTPS and know just what the operator asks of a member. A Deployment becomes
//! ready a moment after it was written, and its pods are there.

mod answer;
mod api;
mod authority;
mod black_hole;
mod nodes;
mod rollout;
mod selector;
mod server;
mod store;
mod target;
mod watch;
mod write;

pub use authority::Authority;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

use black_hole::BlackHole;
use server::Shared;
use store::Store;

/// The bearer token that every simulated member accepts.
pub const TOKEN: &str = "simulated";

/// A Deployment was written or deleted.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The member's name.
    pub member: Arc<str>,
    /// The Deployment's namespace.
    pub namespace: String,
    /// The Deployment's name.
    pub name: String,
    /// When the whole request was there.
    pub at: Instant,
    /// The replicas that were asked for; 0 where it was deleted.
    pub replicas: i64,
}

/// Is told of every arrival, before it is answered; it must not block.
pub type Observer = Arc<dyn Fn(Arrival) + Send + Sync>;

/// What a simulated member has and how it behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Its nodes, each with 16 CPU, 64 GiB and 8 GPUs.
    pub nodes: usize,
    /// The time from a write of a Deployment to its being ready.
    pub ready_after: Duration,
}

/// A simulated member; it ends when this goes.
pub struct SimulatedMember {
    port: u16,
    hole: BlackHole,
    _server: AbortOnDropHandle<()>,
}

impl SimulatedMember {
    /// Starts a member on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound or no certificate be made.
    pub async fn start(
        name: &str,
        authority: &Authority,
        behaviour: Behaviour,
        observer: Observer,
    ) -> io::Result<Self> {
        let hole = BlackHole::default();
        let (listener, port) = server::listen(authority, hole.clone()).await?;
        let store = Arc::new(Store::new());
        nodes::make(&store, behaviour.nodes);
        let shared = Shared { name: name.into(), store, behaviour, observer, hole: hole.clone() };
        let server = tokio::spawn(server::serve(listener, shared));
        Ok(Self { port, hole, _server: AbortOnDropHandle::new(server) })
    }

    /// Its address, `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Makes it a black hole, or one no longer: connections are accepted, and nothing is ever answered, on those that stand
    /// neither.
    pub fn set_black_hole(&self, on: bool) {
        self.hole.set(on);
    }
}
