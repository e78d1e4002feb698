//! A replica that says who it is.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use skyfleet_gateway::config::{Endpoint, EndpointConfig};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// Pieces of a stream, and the time before each.
pub const PIECES: usize = 20;
const BETWEEN: Duration = Duration::from_millis(100);

/// A server whose answers have its name and the URI that it was asked for, in `x-server` and `x-uri`. `/stream` below any prefix streams
/// [`PIECES`].
pub struct Replica {
    pub name: &'static str,
    pub address: SocketAddr,
    delay: Duration,
    count: Arc<AtomicUsize>,
    task: Option<JoinHandle<()>>,
}

impl Replica {
    pub fn start(name: &'static str) -> Self {
        Self::slow(name, Duration::ZERO)
    }

    /// One that takes so long for each answer.
    pub fn slow(name: &'static str, delay: Duration) -> Self {
        let listener = listen(([127, 0, 0, 1], 0).into());
        let address = listener.local_addr().unwrap();
        let mut replica = Self { name, address, delay, count: Arc::default(), task: None };
        replica.serve(listener);
        replica
    }

    fn serve(&mut self, listener: TcpListener) {
        let (name, delay, count) = (self.name, self.delay, self.count.clone());
        self.task = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let count = count.clone();
                let answered = service_fn(move |request| answer(name, delay, count.clone(), request));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answered));
            }
        }));
    }

    /// It and all of its connections are gone at once.
    pub async fn crash(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// It serves again, at the same address.
    pub fn come_back(&mut self) {
        let listener = listen(self.address);
        self.serve(listener);
    }

    /// Requests that it has had.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub fn endpoint(&self, weight: u32) -> EndpointConfig {
        let (cluster, name) = ("aws-1".to_owned(), self.name.to_owned());
        let (host, port) = (self.address.ip().to_string(), self.address.port());
        EndpointConfig { endpoint: Endpoint { cluster, name, host, port, is_relayed: false }, weight, egress_price: 0 }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(1024).unwrap()
}

async fn answer(
    name: &'static str,
    delay: Duration,
    count: Arc<AtomicUsize>,
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let uri = request.uri().to_string();
    let is_check = request.uri().path() == "/health";
    if !is_check {
        count.fetch_add(1, Ordering::SeqCst);
        sleep(delay).await;
    }
    let body = if request.uri().path().ends_with("/stream") { pieces() } else { Full::new(Bytes::from(name)).boxed() };
    Ok(Response::builder().header("x-server", name).header("x-uri", uri).body(body).unwrap())
}

fn pieces() -> BoxBody<Bytes, Infallible> {
    let pieces = futures::stream::unfold(0, async |number| {
        if number == PIECES {
            return None;
        }
        sleep(BETWEEN).await;
        Some((Ok(Frame::data(Bytes::from(format!("data: {number}\n\n")))), number + 1))
    });
    StreamBody::new(Box::pin(pieces)).boxed()
}
