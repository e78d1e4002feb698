//! A replica by hyper: HTTP/1.1 or HTTP/2, over TLS or not.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use skyfleet_gateway::config::EndpointConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Issued};
use crate::replica::at;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a replica does with a request, which came over the connection of this number.
pub type Handler = Arc<dyn Fn(usize, Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

pub fn handler<F>(answer: impl Fn(usize, Request<Incoming>) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    Arc::new(move |connection, request| Box::pin(answer(connection, request)))
}

#[derive(Clone, Default)]
pub struct Settings {
    pub tls: Option<Arc<ServerConfig>>,
    pub is_http2: bool,
    /// Of HTTP/2: streams at once.
    pub most_streams: Option<u32>,
    /// Connections are asked to end when this is told, as those are that are too old.
    pub ages: Arc<Notify>,
}

pub struct Service {
    pub port: u16,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    pub async fn start(settings: Settings, handler: Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                open.spawn(connection(stream, number, settings.clone(), handler.clone()));
            }
        });
        Self { port, connections, task }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn endpoint(&self) -> EndpointConfig {
        at(self.port)
    }
}

async fn connection(stream: TcpStream, number: usize, settings: Settings, handler: Handler) {
    match settings.tls.clone() {
        None => serve(stream, number, settings, handler).await,
        Some(tls) => {
            if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                serve(stream, number, settings, handler).await;
            }
        }
    }
}

async fn serve<S>(stream: S, number: usize, settings: Settings, handler: Handler)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let answer = handler(number, request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let stream = TokioIo::new(stream);
    if !settings.is_http2 {
        let _gone = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
        return;
    }
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder.max_concurrent_streams(settings.most_streams);
    let mut connection = pin!(builder.serve_connection(stream, service));
    tokio::select! {
        _gone = connection.as_mut() => {}
        () = settings.ages.notified() => {
            connection.as_mut().graceful_shutdown();
            let _gone = connection.await;
        }
    }
}

/// TLS as a replica speaks it that shows this; clients have to show a certificate of the authority, if one is given.
pub fn tls(shown: &Issued, clients: Option<&Authority>, protocol: &[u8]) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut trusted = RootCertStore::empty();
            trusted.add(authority.certificate()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(shown.chain(), shown.private_key()).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

pub fn empty() -> Body {
    Empty::new().boxed_unsync()
}

pub fn text(text: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(text.into()).boxed_unsync()
}

/// A body of what is fed to it.
pub fn fed() -> (mpsc::UnboundedSender<Frame<Bytes>>, Body) {
    let (sender, mut frames) = mpsc::unbounded_channel();
    let frames = futures::stream::poll_fn(move |cx| frames.poll_recv(cx).map(|frame| frame.map(Ok)));
    (sender, StreamBody::new(frames).boxed_unsync())
}
