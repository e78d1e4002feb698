//! A client that keeps its connection.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::balancer::LONG;

/// A request without a body.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub host: &'a str,
    pub path: &'a str,
    /// One further header.
    pub header: Option<(&'a str, &'a str)>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The name of the replica that gave it.
    pub fn server(&self) -> Option<&str> {
        self.header("x-server")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// A kept connection ended before anything came, as the server may end it while nothing is under way: clients send such a request again.
    Raced,
    /// Anything else.
    Failed(String),
}

pub struct Client {
    address: SocketAddr,
    kept: Option<SendRequest<Empty<Bytes>>>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, kept: None }
    }

    pub async fn get(&mut self, asked: Asked<'_>) -> Result<Answer, Unanswered> {
        let whole = async {
            let response = self.send(asked).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| Unanswered::Failed(format!("in the body: {error}")))?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        let answer = timeout(LONG, whole).await;
        answer.unwrap_or_else(|_| Err(Unanswered::Failed(format!("no answer to {asked:?} in {LONG:?}"))))
    }

    /// The answer as soon as its head is there.
    pub async fn send(&mut self, asked: Asked<'_>) -> Result<Response<Incoming>, Unanswered> {
        let kept = match self.kept.take() {
            // One that the server has ended is not used any more.
            Some(mut kept) => kept.ready().await.is_ok().then_some(kept),
            None => None,
        };
        let is_kept = kept.is_some();
        let mut sender = match kept {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let mut request = Request::builder().uri(asked.path).header("host", asked.host);
        if let Some((name, value)) = asked.header {
            request = request.header(name, value);
        }
        let answer = sender.send_request(request.body(Empty::new()).unwrap()).await;
        let answer = answer.map_err(|error| {
            let is_race = is_kept && (error.is_incomplete_message() || error.is_canceled() || error.is_closed());
            let is_reset = is_kept && format!("{error:?}").contains("ConnectionReset");
            if is_race || is_reset { Unanswered::Raced } else { Unanswered::Failed(format!("{error:?}")) }
        })?;
        self.kept = Some(sender);
        Ok(answer)
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Unanswered> {
        let failed = |what: String| Unanswered::Failed(format!("no connection: {what}"));
        let stream = TcpStream::connect(self.address).await.map_err(|error| failed(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| failed(error.to_string()))?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// A single request over a connection of its own.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Answer {
    Client::new(address).get(Asked { host, path, header: None }).await.unwrap()
}

/// Between two requests of one client.
pub const PAUSE: Duration = Duration::from_millis(5);
