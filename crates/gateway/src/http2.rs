//! One request to one endpoint by HTTP/2, up to the head of its answer.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::uri::Scheme;
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::body::{Again, Progress, RequestBody};
use crate::causes::{WithCauses, causes};
use crate::config::{Endpoint, Timeouts};
use crate::connections::{Connection, NotConnected, dial};
use crate::exchange::{ExchangeError, Unanswered, answered};
use crate::multiplexed::Multiplexed;
use crate::tls::Connector;
use crate::upstream::Upstream;

/// Bytes of one answer that its client has not taken yet, and of all of a connection: as many as its streams may have, so that one client
/// that stands still keeps no other one waiting.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;
/// Bytes of one request that the endpoint has not taken yet.
const SEND_BUFFER: usize = 256 * 1024;
/// More is refused.
const MOST_HEADER_BYTES: u32 = 64 * 1024;
/// After so long without a word, while requests are under way, it is asked whether it is still there. Servers of gRPC close the connection
/// of who asks more often than each five minutes.
const PING_AFTER: Duration = Duration::from_secs(310);
/// So long it has to answer that.
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// How many streams there may be before the endpoint has said it: a number that none says.
const UNKNOWN: usize = usize::MAX - 1;
/// How often it is looked whether it has. It takes one way there and back, once for each connection.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// Connections that are tried one after the other where each says that it has not looked at the request.
const MOST_TURNS: usize = 3;

/// A connection that works as long as it is polled.
pub(crate) type Connected = http2::Connection<Box<dyn Io>, RequestBody, TokioExecutor>;

/// In clear text or not.
pub(crate) trait Io: hyper::rt::Read + hyper::rt::Write + Send + Unpin {}
impl<S: hyper::rt::Read + hyper::rt::Write + Send + Unpin> Io for S {}

/// Sends a request over a connection that is there, or a new one. Where the endpoint says that it has not looked at it, as one does that
/// closes a connection after some time, it is sent over another one.
pub(crate) async fn exchange(
    connections: &Multiplexed,
    endpoint: &Arc<Endpoint>,
    request: Request<RequestBody>,
    (timeouts, progress): (&Timeouts, &Progress),
    upstream: &Upstream,
) -> Result<(Response<Incoming>, Connection), Unanswered> {
    let mut request = of_http2(request, upstream.tls.is_some())?;
    let mut turns = 1..MOST_TURNS;
    loop {
        let mut lease = match connections.lease(endpoint, upstream, (timeouts.connect, progress)).await {
            Ok(lease) => lease,
            Err(error) => return Err(Unanswered { error: error.into(), unsent: Some(Box::new(request)) }),
        };
        let spare = Spare::of(&request);
        let sending = lease.sender.try_send_request(request);
        let unanswered = match answered(sending, (timeouts.first_byte, progress)).await {
            Ok(response) => return Ok((response, Connection::Http2(lease))),
            Err(unanswered) => unanswered,
        };
        // Whoever is late may not be there any more.
        if !is_of_one_request(&unanswered.error) {
            lease.retire();
        }
        match unanswered {
            Unanswered { unsent: Some(unsent), .. } if turns.next().is_some() => request = *unsent,
            Unanswered { error: ExchangeError::NotProcessed, unsent: None } if turns.next().is_some() => {
                match spare.and_then(Spare::request) {
                    Some(again) => request = again,
                    None => return Err(Unanswered { error: ExchangeError::NotProcessed, unsent: None }),
                }
            }
            unanswered => return Err(unanswered),
        }
    }
}

/// A request that may be sent once more.
struct Spare {
    head: Request<()>,
    body: Again,
}

impl Spare {
    /// `None` where its body cannot be.
    fn of(request: &Request<RequestBody>) -> Option<Self> {
        let body = request.body().again()?;
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        *head.version_mut() = request.version();
        *head.headers_mut() = request.headers().clone();
        Some(Self { head, body })
    }

    fn request(self) -> Option<Request<RequestBody>> {
        let body = self.body.body()?;
        Some(self.head.map(|()| body))
    }
}

fn of_http2(request: Request<RequestBody>, is_secured: bool) -> Result<Request<RequestBody>, Unanswered> {
    with_target(request, is_secured).map_err(|error| {
        let error = ExchangeError::Request(format!("its host cannot be sent by HTTP/2: {error}"));
        Unanswered { error, unsent: None }
    })
}

/// As HTTP/2 has it: for whom it is, is a part of the target, and connections are nobody's business.
pub(crate) fn with_target(
    mut request: Request<RequestBody>,
    is_secured: bool,
) -> Result<Request<RequestBody>, http::Error> {
    let authority = request.headers_mut().remove(HOST);
    for name in [CONNECTION, UPGRADE] {
        request.headers_mut().remove(name);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let scheme = if is_secured { Scheme::HTTPS } else { Scheme::HTTP };
    let target = Uri::builder().scheme(scheme).path_and_query(path);
    let authority = authority.as_ref().map(http::HeaderValue::as_bytes).unwrap_or_default();
    *request.uri_mut() = target.authority(authority).build()?;
    *request.version_mut() = Version::HTTP_2;
    Ok(request)
}

/// Whether the endpoint has said that it did not look at the request (RFC 9113, section 8.7), and whether it is this side that has given
/// the request up, since its body did not come.
pub(crate) fn of(error: hyper::Error) -> ExchangeError {
    match of_h2(&error) {
        Some(error) if error.is_remote() && error.is_go_away() => ExchangeError::NotProcessed,
        Some(error) if error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM) => {
            ExchangeError::NotProcessed
        }
        Some(error) if error.is_reset() && !error.is_remote() && !error.is_library() => {
            let why = "the body of the request broke off, stood still, or is larger than its route takes";
            ExchangeError::Request(why.to_owned())
        }
        _ => ExchangeError::Broken(error),
    }
}

/// Whether other requests over the same connection may go well.
fn is_of_one_request(error: &ExchangeError) -> bool {
    match error {
        ExchangeError::Request(_) => true,
        ExchangeError::Broken(error) => of_h2(error).is_some_and(h2::Error::is_reset),
        _ => false,
    }
}

fn of_h2(error: &hyper::Error) -> Option<&h2::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Makes a connection, and waits until the endpoint has said that it speaks HTTP/2, and for how many requests at once.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    tls: Option<&Connector>,
) -> Result<(SendRequest<RequestBody>, Connected), NotConnected> {
    let stream: TcpStream = dial(endpoint).await?;
    let stream: Box<dyn Io> = match tls {
        None => boxed(stream),
        Some(tls) => boxed(tls.connect(&endpoint.host, stream).await?),
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).keep_alive_interval(PING_AFTER).keep_alive_timeout(PONG_WITHIN);
    builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    builder.max_send_buf_size(SEND_BUFFER).max_header_list_size(MOST_HEADER_BYTES).initial_max_send_streams(UNKNOWN);
    let (sender, mut connection) = builder.handshake(stream).await?;
    while connection.current_max_send_streams() == UNKNOWN {
        tokio::select! {
            ended = &mut connection => {
                return Err(NotConnected::NoHttp2(why_closed(ended.err().as_ref(), tls)));
            }
            () = sleep(LOOK_AGAIN) => {}
        }
    }
    Ok((sender, connection))
}

fn why_closed(error: Option<&hyper::Error>, tls: Option<&Connector>) -> String {
    let why = error.map_or_else(|| "it closed the connection".to_owned(), |error| WithCauses(error).to_string());
    match tls {
        // In TLS 1.3 that is told after the handshake, and often lost with the connection.
        Some(tls) if !tls.shows_certificate => {
            format!("{why}. If it asks for a certificate: see spec.tls.clientCertificateSecretRef of the ModelRoute")
        }
        _ => why,
    }
}

fn boxed(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Box<dyn Io> {
    Box::new(TokioIo::new(stream))
}
