//! TCP, TLS and HTTP of a simulated member.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::api;
use super::authority::Authority;
use super::black_hole::BlackHole;
use super::store::Store;
use super::{Behaviour, Observer};

/// For a client's half of the handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Connections with TLS that wait to be served.
const WAITING: usize = 64;

/// What every request of a member needs.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) store: Arc<Store>,
    pub(super) behaviour: Behaviour,
    pub(super) observer: Observer,
    pub(super) hole: BlackHole,
}

/// Connections whose handshake is done. Each is made in a task of its own: a client that dawdles keeps no other waiting.
pub(super) struct TlsListener {
    connections: mpsc::Receiver<TlsStream<TcpStream>>,
    address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

/// Binds a free port of 127.0.0.1.
pub(super) async fn listen(authority: &Authority, hole: BlackHole) -> io::Result<(TlsListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let (sender, connections) = mpsc::channel(WAITING);
    let acceptor = TlsAcceptor::from(authority.server());
    let accepting = AbortOnDropHandle::new(tokio::spawn(accept_forever(listener, acceptor, hole, sender)));
    Ok((TlsListener { connections, address, _accepting: accepting }, address.port()))
}

async fn accept_forever(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    hole: BlackHole,
    connections: mpsc::Sender<TlsStream<TcpStream>>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: some may be free in a moment.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (acceptor, hole, connections) = (acceptor.clone(), hole.clone(), connections.clone());
        tokio::spawn(async move {
            if hole.is_on() {
                // Held open in silence, and dropped once that is over: its client has long given up.
                hole.passed().await;
                return;
            }
            let _slower_without = stream.set_nodelay(true);
            if let Ok(Ok(stream)) = timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                // A closed channel means that the member has ended.
                let _ended = connections.send(stream).await;
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.connections.recv().await {
            Some(stream) => (stream, self.address),
            // The sender's task is ended by this listener's own end only.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

/// Serves for ever.
pub(super) async fn serve(listener: TlsListener, shared: Shared) {
    let shared = Arc::new(shared);
    let routes = Router::new().fallback(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(api::answer(&shared, request).await) }
    });
    // It does not return but with an error of the listener, which has none.
    let _endless = axum::serve(listener, routes).await;
}
