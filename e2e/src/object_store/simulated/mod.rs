//! An S3 server in memory, on the `s3s` crate: as fast as it can be, so that what is measured is the program that asks it, and
//! with the faults and the distance that a real server on this machine does not have.

mod bucket;
mod operations;
mod requests;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::{ObjectStoreError, system};
use crate::token_server::Grants;
pub use bucket::{Contents, SimulatedBucket};
use operations::Memory;

/// The key that the server knows.
pub const SIMULATED_KEY: (&str, &str) = ("simulated", "simulated-secret");

/// A request, before it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The path and the query, as they came.
    pub target: String,
    /// The headers.
    pub headers: http::HeaderMap,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is served.
    None,
    /// It is served after this time.
    Late(Duration),
    /// It is refused with a status and a code of S3; nothing is done.
    Refused(u16, &'static str),
    /// It is refused with `SlowDown` and asked for again in so many seconds; nothing is done.
    Later(u64),
    /// The connection breaks without an answer; nothing is done.
    Broken,
    /// It is done, and the connection breaks without an answer.
    Lost,
    /// It is served, but the connection breaks after so many bytes of the answer's body.
    CutOff(usize),
    /// It is served, with one bit of the answer's body wrong.
    Flipped,
}

type Script = Arc<dyn Fn(&Asked) -> Fault + Send + Sync>;

/// A server that runs; it ends when this is dropped.
pub struct SimulatedS3 {
    scheme: &'static str,
    address: SocketAddr,
    state: Arc<State>,
    _server: JoinSet<()>,
}

struct State {
    buckets: Arc<Mutex<BTreeMap<String, SimulatedBucket>>>,
    service: S3Service,
    temporary: Arc<Mutex<Option<Grants>>>,
    expired: AtomicUsize,
    script: Mutex<Option<Script>>,
    latency: Mutex<Duration>,
    /// Bytes a second of each answer; 0 for no bound.
    bandwidth: AtomicU64,
    /// More than so many requests at once are refused.
    capacity: AtomicUsize,
    in_flight: AtomicUsize,
    refusals: AtomicU64,
}

impl SimulatedS3 {
    /// Runs a server on a free port of the loopback interface.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> Result<Self, ObjectStoreError> {
        Self::listen(None).await
    }

    /// The same over TLS, with a certificate that is written to this file (PEM).
    ///
    /// # Errors
    /// When it cannot listen, or the certificate cannot be made or written.
    pub async fn start_with_tls(certificate: &Path) -> Result<Self, ObjectStoreError> {
        let acceptor = tls::acceptor(certificate)?;
        Self::listen(Some(acceptor)).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Result<Self, ObjectStoreError> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(system("listen"))?;
        let address = listener.local_addr().map_err(system("listen"))?;
        let buckets: Arc<Mutex<BTreeMap<String, SimulatedBucket>>> = Arc::default();
        let mut service = S3ServiceBuilder::new(Memory::new(buckets.clone()));
        let temporary = Arc::default();
        service.set_auth(Keys(Arc::clone(&temporary)));
        let service = service.build();
        let state = Arc::new(State {
            buckets,
            service,
            temporary,
            expired: AtomicUsize::new(0),
            script: Mutex::default(),
            latency: Mutex::default(),
            bandwidth: AtomicU64::default(),
            capacity: AtomicUsize::new(usize::MAX),
            in_flight: AtomicUsize::default(),
            refusals: AtomicU64::default(),
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, tls, state.clone()));
        Ok(Self { scheme, address, state, _server: server })
    }

    /// The URL of its S3 API.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Makes a bucket, or puts this one in the place of one that is there.
    pub fn set_bucket(&self, name: &str, bucket: SimulatedBucket) {
        locked(&self.state.buckets).insert(name.to_owned(), bucket);
    }

    /// What a bucket is now.
    #[must_use]
    pub fn bucket(&self, name: &str) -> Option<SimulatedBucket> {
        locked(&self.state.buckets).get(name).cloned()
    }

    /// From now on only temporary credentials are taken, and only as long as they are good.
    pub fn admit_only(&self, grants: &Grants) {
        *locked(&self.state.temporary) = Some(grants.clone());
    }

    /// Requests with temporary credentials that had ended.
    #[must_use]
    pub fn expired(&self) -> usize {
        self.state.expired.load(Ordering::SeqCst)
    }

    /// Every answer comes so much later: a server that is far away.
    pub fn set_latency(&self, latency: Duration) {
        *locked(&self.state.latency) = latency;
    }

    /// The content of each answer comes at so many bytes a second: a server that bounds connections. `None` is no bound.
    pub fn set_bandwidth(&self, rate: Option<NonZeroU64>) {
        self.state.bandwidth.store(rate.map_or(0, NonZeroU64::get), Ordering::SeqCst);
    }

    /// What comes while so many requests are being served is refused with `SlowDown`.
    pub fn set_capacity(&self, requests: usize) {
        self.state.capacity.store(requests, Ordering::SeqCst);
    }

    /// Requests that were refused because there were too many at once.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.state.refusals.load(Ordering::SeqCst)
    }

    /// Asks what shall become of each request from now on.
    pub fn script(&self, script: impl Fn(&Asked) -> Fault + Send + Sync + 'static) {
        *locked(&self.state.script) = Some(Arc::new(script));
    }
}

/// The keys that the server knows: its own, or temporary ones.
struct Keys(Arc<Mutex<Option<Grants>>>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match locked(&self.0).as_ref() {
            None if access_key == SIMULATED_KEY.0 => Ok(SIMULATED_KEY.1.into()),
            Some(grants) if grants.is_known(access_key) => Ok(format!("{access_key}-secret").into()),
            _ => Err(s3_error!(InvalidAccessKeyId)),
        }
    }
}

/// What a panic left behind is still what it was.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((connection, _)) = listener.accept().await else { continue };
        // Without it, answers in several pieces wait for each other.
        let _best_effort = connection.set_nodelay(true);
        let (tls, state) = (tls.clone(), state.clone());
        connections.spawn(async move {
            match tls {
                // A client that does not trust the certificate goes away.
                Some(tls) => {
                    if let Ok(connection) = tls.accept(connection).await {
                        connected(connection, state).await;
                    }
                }
                None => connected(connection, state).await,
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connected(connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<State>) {
    let service = service_fn(|request| answer(&state, request));
    let server = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(connection), service);
    // A client that goes away, or a fault that breaks the connection.
    let _ended = server.await;
}

/// What breaks a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the script breaks the connection")]
struct Break;

async fn answer(state: &State, request: Request<Incoming>) -> Result<Response<s3s::Body>, Break> {
    let script = locked(&state.script).clone();
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let asked = Asked { method: request.method().clone(), target, headers: request.headers().clone() };
    let fault = script.map_or(Fault::None, |script| script(&asked));
    let serving = Serving::begin(state);
    let temporary = locked(&state.temporary).clone();
    let session = request.headers().get("x-amz-security-token").and_then(|token| token.to_str().ok());
    if temporary.is_some_and(|grants| !session.is_some_and(|token| grants.is_good(token))) {
        state.expired.fetch_add(1, Ordering::SeqCst);
        return Ok(refusal(400, "ExpiredToken"));
    }
    let latency = *locked(&state.latency);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if serving.is_too_many {
        state.refusals.fetch_add(1, Ordering::SeqCst);
        return Ok(refusal(503, "SlowDown"));
    }
    match fault {
        Fault::Late(time) => tokio::time::sleep(time).await,
        Fault::Refused(status, code) => return Ok(refusal(status, code)),
        Fault::Later(seconds) => {
            let mut answer = refusal(503, "SlowDown");
            answer.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
            return Ok(answer);
        }
        Fault::Broken => return Err(Break),
        Fault::None | Fault::Lost | Fault::CutOff(_) | Fault::Flipped => {}
    }
    let answer = state.service.call(request.map(s3s::Body::from)).await.map_err(|_| Break)?;
    match fault {
        Fault::Lost => Err(Break),
        Fault::CutOff(bytes) => cut_off(answer, bytes).await,
        Fault::Flipped => with_wrong_bit(answer).await,
        _ => match NonZeroU64::new(state.bandwidth.load(Ordering::SeqCst)) {
            Some(rate) if asked.method == Method::GET => slowly(answer, rate).await,
            _ => Ok(answer),
        },
    }
}

/// A request in flight; one that is refused is none.
struct Serving<'a> {
    state: &'a State,
    is_too_many: bool,
}

impl<'a> Serving<'a> {
    fn begin(state: &'a State) -> Self {
        let before = state.in_flight.fetch_add(1, Ordering::SeqCst);
        let is_too_many = before >= state.capacity.load(Ordering::SeqCst);
        if is_too_many {
            state.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
        Self { state, is_too_many }
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if !self.is_too_many {
            self.state.in_flight.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// The first bytes of an answer that promises more, and then the end of the connection.
async fn cut_off(answer: Response<s3s::Body>, bytes: usize) -> Result<Response<s3s::Body>, Break> {
    let (mut head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| Break)?.to_bytes();
    if body.len() <= bytes {
        return Ok(Response::from_parts(head, s3s::Body::from(body)));
    }
    head.headers.insert(http::header::CONTENT_LENGTH, body.len().into());
    let pieces = [Ok(Frame::data(body.slice(..bytes))), Err(Break)];
    Ok(Response::from_parts(head, s3s::Body::http_body(StreamBody::new(stream::iter(pieces)))))
}

/// An answer whose content comes at so many bytes a second.
async fn slowly(answer: Response<s3s::Body>, rate: NonZeroU64) -> Result<Response<s3s::Body>, Break> {
    const PIECE: usize = 256 * 1024;
    let (mut head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| Break)?.to_bytes();
    head.headers.insert(http::header::CONTENT_LENGTH, body.len().into());
    let pieces = stream::unfold((body, Instant::now()), move |(mut rest, due)| async move {
        let piece = rest.split_to(rest.len().min(PIECE));
        if piece.is_empty() {
            return None;
        }
        tokio::time::sleep_until(due).await;
        let later = Duration::from_nanos(piece.len() as u64 * 1_000_000_000 / rate);
        Some((Ok::<_, Break>(Frame::data(piece)), (rest, due + later)))
    });
    Ok(Response::from_parts(head, s3s::Body::http_body(StreamBody::new(pieces))))
}

async fn with_wrong_bit(answer: Response<s3s::Body>) -> Result<Response<s3s::Body>, Break> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|_| Break)?.to_bytes();
    Ok(Response::from_parts(head, s3s::Body::from(flipped(&body))))
}

fn flipped(body: &Bytes) -> Bytes {
    let mut body = body.to_vec();
    let middle = body.len() / 2;
    if let Some(byte) = body.get_mut(middle) {
        *byte ^= 1;
    }
    body.into()
}

fn refusal(status: u16, code: &str) -> Response<s3s::Body> {
    let text = format!("<Error><Code>{code}</Code><Message>scripted</Message></Error>");
    let mut answer = Response::new(s3s::Body::from(text));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    answer
}
