//! HTTP for the stores of all clouds: one client, its timeouts, and what its failures mean.

mod body;
mod credentials;
mod live;
mod text;

pub(crate) use body::Chunks;
pub(crate) use credentials::credential_context;
pub(crate) use live::{CutShort, LiveBody};
use live::{Held, Outgoing};
use text::retry_after;
pub(crate) use text::{check_endpoint, encoded, encoded_path, header, http_date, query, said};

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::store::error::chain;
use crate::{Body, ConnectOptions, Place, StoreError, StoreErrorKind};

/// More than any page of a listing or error has.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;

/// How long a connection that is not used stays open: less than servers keep theirs.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// A client. Clones share their connections.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Outgoing>,
    options: ConnectOptions,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

/// Why there is no answer that can be used. What is done with it is the same for every store.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: StoreErrorKind,
    pub(crate) detail: String,
    /// When to ask again at the earliest, where the store said so.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(kind: StoreErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None }
    }

    /// Of a store that does not tell credentials that have expired from others: with new ones, or where there are no other, they
    /// are refused.
    pub(crate) fn expired_is_refused(mut self) -> Self {
        if self.kind == StoreErrorKind::CredentialsExpired {
            self.kind = StoreErrorKind::CredentialsRefused;
        }
        self
    }

    /// With what the answer's headers say of when to come back.
    pub(crate) fn with(self, headers: &HeaderMap) -> Self {
        Self { retry_after: retry_after(headers), ..self }
    }

    /// As an error of a store.
    pub(crate) fn at(self, place: &Place, action: &str) -> StoreError {
        let later = self.retry_after.map(|wait| format!("; it may be asked again in {} s", wait.as_secs()));
        let detail = format!("{}{}", self.detail, later.unwrap_or_default());
        StoreError { retry_after: self.retry_after, ..place.error(self.kind, action, detail) }
    }
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Http {
    /// A client that trusts what the system trusts; the error says why it cannot find that.
    pub(crate) fn new(options: ConnectOptions) -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(options.connect_timeout));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| format!("cannot load the certificates that the system trusts: {error}"))?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .build(tls);
        Ok(Self { client, options })
    }

    /// As [`Self::ask_within`]; an answer that is none of success is what `failure` makes of it.
    pub(crate) async fn succeed_within(
        &self,
        more: Duration,
        request: Request<Chunks>,
        failure: fn(&Answer) -> Failure,
    ) -> Result<Answer, Failure> {
        let answer = self.ask_within(more, request).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(failure(&answer)) }
    }

    /// As [`Self::open`]; an answer that is none of success is what `failure` makes of the whole of it.
    pub(crate) async fn open_success(
        &self,
        request: Request<Chunks>,
        failure: fn(&Answer) -> Failure,
    ) -> Result<Response<Incoming>, Failure> {
        let response = self.open(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(failure(&self.finish(response).await?))
    }

    /// Sends a request and reads the whole answer, in the time of one attempt.
    pub(crate) async fn ask(&self, request: Request<Chunks>) -> Result<Answer, Failure> {
        self.ask_within(Duration::ZERO, request).await
    }

    /// As [`Self::ask`], with so much time more.
    async fn ask_within(&self, more: Duration, request: Request<Chunks>) -> Result<Answer, Failure> {
        let limit = self.limit(&request) + more;
        in_time(limit, self.exchange(request.map(Outgoing::from))).await
    }

    /// Sends a request with a body that is still on its way. The time of one attempt begins anew whenever the connection has taken
    /// some of it, and does not pass while there is nothing to send.
    pub(crate) async fn succeed_live(
        &self,
        request: Request<Chunks>,
        body: LiveBody,
        failure: fn(&Answer) -> Failure,
    ) -> Result<Answer, Failure> {
        let bytes = usize::try_from(body.length()).unwrap_or(usize::MAX);
        let (limit, held) = (self.options.attempt_timeout_with(bytes), body.hold());
        let exchange = self.exchange(request.map(|_| Outgoing::Live(body)));
        let answer = while_it_moves(limit, &held, exchange).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(failure(&answer)) }
    }

    async fn exchange(&self, request: Request<Outgoing>) -> Result<Answer, Failure> {
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        read(response).await
    }

    /// Sends a request; of its answer only the start has to come in the time of one attempt.
    async fn open(&self, request: Request<Chunks>) -> Result<Response<Incoming>, Failure> {
        let limit = self.limit(&request);
        let request = request.map(Outgoing::from);
        let start = async { self.client.request(request).await.map_err(|error| unreachable(&error)) };
        in_time(limit, start).await
    }

    /// The whole of an answer that was opened, such as that of a failure.
    async fn finish(&self, response: Response<Incoming>) -> Result<Answer, Failure> {
        in_time(self.options.attempt_timeout, read(response)).await
    }

    /// An object's bytes. They fail when the next ones do not come within the idle timeout.
    pub(crate) fn stream(&self, place: &Place, key: &str, incoming: Incoming) -> Body {
        let (idle, rest) = (self.options.idle_timeout, (incoming.into_data_stream(), place.clone(), key.to_owned()));
        let chunks = stream::unfold(rest, move |(mut incoming, place, key)| async move {
            let failed = |detail| place.error(StoreErrorKind::Unreachable, format!("read on in {key:?}"), detail);
            let chunk = match tokio::time::timeout(idle, incoming.next()).await {
                Ok(chunk) => chunk?.map_err(|error| failed(chain(&error))),
                Err(_) => Err(failed("no bytes in time".to_owned())),
            };
            Some((chunk, (incoming, place, key)))
        });
        chunks.boxed()
    }

    fn limit(&self, request: &Request<Chunks>) -> Duration {
        let bytes = usize::try_from(request.body().len()).unwrap_or(usize::MAX);
        self.options.attempt_timeout_with(bytes)
    }
}

async fn in_time<T>(limit: Duration, exchange: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| Err(late()))
}

async fn while_it_moves<T>(
    limit: Duration,
    body: &Held,
    exchange: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut exchange = std::pin::pin!(exchange);
    loop {
        let before = body.position();
        if let Ok(outcome) = tokio::time::timeout(limit, &mut exchange).await {
            return outcome;
        }
        if body.position() == before && !before.is_waiting {
            return Err(late());
        }
    }
}

fn late() -> Failure {
    Failure::new(StoreErrorKind::Unreachable, "no answer in time")
}

fn unreachable(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(StoreErrorKind::Unreachable, chain(error))
}

async fn read(response: Response<Incoming>) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| unreachable(error.as_ref()))?;
    Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
}
