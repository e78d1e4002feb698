//! Asks endpoints whether they are well, all the time, where their routes say so.
//!
//! Each check is a GET over a connection of its own: whether one can be made is a part of the question. One task for each endpoint
//! waits for its time; how many ask at once is bounded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, USER_AGENT};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::backend::Backend;
use crate::body::RequestBody;
use crate::config::{Endpoint, HealthConfig, Protocol};
use crate::connections::{NotConnected, connect};
use crate::counters::{Counters, OfChecks};
use crate::headers::authority;
use crate::relay::Relays;
use crate::upstream::Upstream;
use crate::{grpc_health, http2};

/// Checks at the same time.
const AT_ONCE: usize = 256;
/// Each pause is longer or shorter by up to so much of itself: or gateways that began together would ask together for ever.
const JITTER: f64 = 0.1;

/// An endpoint that is to be checked.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) route: String,
    pub(crate) backend: Arc<Backend>,
    pub(crate) endpoint: Endpoint,
    pub(crate) check: HealthConfig,
    /// What is spoken to it, where that is not HTTP/1.1 in clear text.
    pub(crate) upstream: Option<Arc<Upstream>>,
}

/// Who is asked, and how. The backend is known by its address, which nobody else has as long as the task holds it.
type Key = (usize, Endpoint, HealthConfig, Option<u64>);

/// Why an endpoint is not well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwell {
    #[error(transparent)]
    NotConnected(#[from] NotConnected),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("it answers with status {0}")]
    Status(StatusCode),
    #[error("it answers {0:?} to the call of grpc.health.v1")]
    NotServing(String),
    #[error("no answer after {0:?}")]
    TimedOut(Duration),
    #[error("{0:?} cannot be asked for ({1}): change healthCheck.path")]
    Path(String, http::Error),
    #[error("its address is none: {0}")]
    Address(http::Error),
}

/// The checks under way. All of them end when this is dropped.
pub(crate) struct Checks {
    tasks: HashMap<Key, (Target, AbortOnDropHandle<()>)>,
    room: Arc<Semaphore>,
    counters: Counters,
    relays: Relays,
}

impl Checks {
    pub(crate) fn new(counters: Counters, relays: Relays) -> Self {
        Self { tasks: HashMap::new(), room: Arc::new(Semaphore::new(AT_ONCE)), counters, relays }
    }

    /// Checks these from now on, and nobody else. Who stays is asked when it would have been.
    pub(crate) fn follow(&mut self, targets: Vec<Target>) {
        let mut before = std::mem::take(&mut self.tasks);
        for target in targets {
            let spoken = target.upstream.as_ref().map(|upstream| upstream.id);
            let key = (Arc::as_ptr(&target.backend).addr(), target.endpoint.clone(), target.check.clone(), spoken);
            let known = before.remove(&key);
            let task = known.unwrap_or_else(|| {
                let shared = (self.room.clone(), self.counters.clone(), self.relays.clone());
                let checking = check(target.clone(), shared);
                (target, AbortOnDropHandle::new(tokio::spawn(checking)))
            });
            self.tasks.insert(key, task);
        }
        let labels: HashSet<_> = self.tasks.values().map(|(target, _)| target.labels()).collect();
        for (target, _) in before.into_values() {
            let gone = target.labels();
            if !labels.contains(&gone) {
                self.counters.forget_checks(&gone);
            }
        }
    }
}

impl Target {
    fn labels(&self) -> OfChecks {
        let (route, backend, member_cluster) = (&self.route, &self.backend.name, &self.endpoint.cluster);
        OfChecks { route: route.clone(), backend: backend.clone(), member_cluster: member_cluster.clone() }
    }
}

/// Checks one endpoint, for ever.
async fn check(target: Target, (room, counters, relays): (Arc<Semaphore>, Counters, Relays)) {
    let counters = counters.of_checks(&target.labels());
    let Target { route, backend, endpoint, check, upstream } = target;
    let (endpoint, interval) = (Arc::new(endpoint), check.interval);
    // Anywhere within the first interval, so that not all are asked at once.
    let mut next = Instant::now() + interval.mul_f64(fastrand::f64());
    loop {
        sleep_until(next).await;
        // It is never closed.
        let permit = room.acquire().await;
        next = Instant::now() + interval.mul_f64(1.0 + JITTER * (2.0 * fastrand::f64() - 1.0));
        let answer = ask(&endpoint, &check, upstream.as_deref(), &relays).await;
        drop(permit);
        counters.count(answer.is_ok());
        let has_changed = backend.checked(&endpoint, answer.is_ok());
        let Endpoint { cluster, name, .. } = &*endpoint;
        match answer {
            Ok(()) if has_changed => tracing::info!(route, cluster, name, "a replica is up by its health checks"),
            Err(error) if has_changed => {
                tracing::warn!(route, cluster, name, %error, "a replica is down by its health checks");
            }
            Err(error) => tracing::debug!(route, cluster, name, %error, "a health check has failed"),
            Ok(()) => {}
        }
    }
}

async fn ask(
    endpoint: &Endpoint,
    check: &HealthConfig,
    upstream: Option<&Upstream>,
    relays: &Relays,
) -> Result<(), Unwell> {
    let host = authority(endpoint, upstream.is_some_and(|upstream| upstream.tls.is_some()));
    let request = match &check.path {
        Some(path) => of_path(host, path)?,
        None => grpc_health::check(host)?,
    };
    let answered = async {
        let response = send(endpoint, request, upstream, (check.timeout, relays)).await?;
        match check.path {
            Some(_) if response.status().is_success() || response.status().is_redirection() => Ok(()),
            Some(_) => Err(Unwell::Status(response.status())),
            None => grpc_health::is_serving(response).await,
        }
    };
    timeout(check.timeout, answered).await.map_err(|_| Unwell::TimedOut(check.timeout))?
}

fn of_path(host: String, path: &str) -> Result<Request<RequestBody>, Unwell> {
    let request = Request::get(path).header(HOST, host).header(USER_AGENT, "skyfleet-gateway");
    request.body(RequestBody::Whole(None)).map_err(|error| Unwell::Path(path.to_owned(), error))
}

/// Over a connection of its own, which ends with the answer.
async fn send(
    endpoint: &Endpoint,
    request: Request<RequestBody>,
    upstream: Option<&Upstream>,
    connecting: (Duration, &Relays),
) -> Result<Response<Incoming>, Unwell> {
    match upstream.filter(|upstream| upstream.protocol == Protocol::Http2) {
        None => Ok(connect(endpoint, upstream, connecting).await?.send_request(request).await?),
        Some(Upstream { tls, .. }) => {
            let (mut sender, connection) = http2::connect(endpoint, tls.as_ref()).await?;
            // It ends once the answer has.
            tokio::spawn(connection);
            Ok(sender.send_request(http2::with_target(request, tls.is_some()).map_err(Unwell::Address)?).await?)
        }
    }
}
