//! What the gateway measures, for Prometheus. Labels are bounded: routes, backends, clusters and words from fixed lists; never a path, a
//! client or a replica.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::counters::Counters;
use crate::status::RouteStatus;
use crate::tls::TlsMetrics;
use crate::usage::Tokens;

/// How a request went that an endpoint was asked: by the status of its answer, or that the client did not stay, or that the answer broke off.
const OUTCOMES: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "cancelled", "broken"];

/// Of prompts, and of answers.
const TOKENS: [&str; 2] = ["prompt", "completion"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfBackend {
    route: String,
    backend: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    route: String,
    backend: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTokens {
    route: String,
    backend: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCode {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCluster {
    route: String,
    backend: String,
    member_cluster: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCondition {
    route: String,
    backend: String,
    member_cluster: String,
    condition: String,
}

/// All of it. Clones share it.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    requests: Family<OfOutcome, Counter>,
    retries: Family<OfBackend, Counter>,
    first_bytes: Family<OfBackend, Histogram>,
    durations: Family<OfBackend, Histogram>,
    tokens: Family<OfTokens, Counter>,
    refusals: Family<OfCode, Counter>,
    in_flight: Family<OfCluster, Gauge>,
    endpoints: Family<OfCondition, Gauge>,
    pub(crate) counters: Counters,
    pub(crate) tls: TlsMetrics,
    /// One reading after the other: the gauges are set anew for each.
    reading: Arc<Mutex<()>>,
}

/// Those of one backend, at hand.
pub(crate) struct BackendMetrics {
    requests: [Counter; OUTCOMES.len()],
    retries: Counter,
    first_byte: Histogram,
    duration: Histogram,
    tokens: [Counter; TOKENS.len()],
}

/// How a request went that an endpoint was asked.
pub(crate) enum Outcome {
    /// All of the answer was passed on, with this status.
    Status(u16),
    Cancelled,
    Broken,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("skyfleet_gateway");
        let requests = Family::<OfOutcome, Counter>::default();
        registry.register("requests", "Requests that a replica was asked, by how they went", requests.clone());
        let retries = Family::<OfBackend, Counter>::default();
        registry.register("retries", "Attempts beyond the first", retries.clone());
        let histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let first_bytes = Family::<OfBackend, Histogram>::new_with_constructor(histogram);
        let help = "Time until the first byte of an answer, of a stream until its first event";
        registry.register_with_unit("first_byte", help, Unit::Seconds, first_bytes.clone());
        let durations = Family::<OfBackend, Histogram>::new_with_constructor(histogram);
        registry.register_with_unit(
            "duration",
            "Time until the last byte of an answer",
            Unit::Seconds,
            durations.clone(),
        );
        let tokens = Family::<OfTokens, Counter>::default();
        registry.register("tokens", "Tokens of prompts and answers, as far as answers say it", tokens.clone());
        let refusals = Family::<OfCode, Counter>::default();
        registry.register("refusals", "Requests that the gateway answered with an error of its own", refusals.clone());
        let in_flight = Family::<OfCluster, Gauge>::default();
        registry.register("requests_in_flight", "Requests that have not ended", in_flight.clone());
        let endpoints = Family::<OfCondition, Gauge>::default();
        registry.register("endpoints", "Endpoints, by their condition", endpoints.clone());
        let counters = Counters::register(&mut registry);
        let tls = TlsMetrics::default();
        tls.register(&mut registry);
        let (registry, reading) = (Arc::new(registry), Arc::default());
        Self {
            registry,
            requests,
            retries,
            first_bytes,
            durations,
            tokens,
            refusals,
            in_flight,
            endpoints,
            counters,
            tls,
            reading,
        }
    }
}

impl Metrics {
    pub(crate) fn of_backend(&self, route: &str, backend: &str) -> BackendMetrics {
        let of = OfBackend { route: route.to_owned(), backend: backend.to_owned() };
        BackendMetrics {
            requests: outcomes(route, backend).map(|of| self.requests.get_or_create(&of).clone()),
            retries: self.retries.get_or_create(&of).clone(),
            first_byte: self.first_bytes.get_or_create(&of).clone(),
            duration: self.durations.get_or_create(&of).clone(),
            tokens: kinds(route, backend).map(|of| self.tokens.get_or_create(&of).clone()),
        }
    }

    /// A backend has left.
    pub(crate) fn forget(&self, route: &str, backend: &str) {
        let of = OfBackend { route: route.to_owned(), backend: backend.to_owned() };
        for of in outcomes(route, backend) {
            self.requests.remove(&of);
        }
        for of in kinds(route, backend) {
            self.tokens.remove(&of);
        }
        self.retries.remove(&of);
        self.first_bytes.remove(&of);
        self.durations.remove(&of);
        self.counters.forget_calls(route, backend);
    }

    pub(crate) fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&OfCode { code }).inc();
    }

    /// In the text format of OpenMetrics.
    ///
    /// # Errors
    /// When it cannot be written as text.
    pub(crate) fn encode(&self, routes: &[RouteStatus]) -> Result<String, std::fmt::Error> {
        let _one_at_a_time = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.in_flight.clear();
        self.endpoints.clear();
        for (route, backend) in routes.iter().flat_map(|route| route.backends.iter().map(move |one| (route, one))) {
            for endpoint in &backend.endpoints {
                let (route, backend) = (route.name.clone(), backend.name.clone());
                let (member_cluster, condition) = (endpoint.cluster.clone(), endpoint.condition.clone());
                let of = OfCluster { route, backend, member_cluster };
                self.in_flight.get_or_create(&of).inc_by(endpoint.in_flight.into());
                let OfCluster { route, backend, member_cluster } = of;
                self.endpoints.get_or_create(&OfCondition { route, backend, member_cluster, condition }).inc();
            }
        }
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl BackendMetrics {
    pub(crate) fn ended(
        &self,
        outcome: &Outcome,
        (attempts, first_byte, duration): (u32, Option<Duration>, Duration),
        used: Option<Tokens>,
    ) {
        let place = match outcome {
            Outcome::Status(status) => usize::from(status / 100).clamp(1, 5) - 1,
            Outcome::Cancelled => 5,
            Outcome::Broken => 6,
        };
        self.requests[place].inc();
        self.retries.inc_by(attempts.saturating_sub(1).into());
        if let Some(first_byte) = first_byte {
            self.first_byte.observe(first_byte.as_secs_f64());
        }
        self.duration.observe(duration.as_secs_f64());
        if let Some(Tokens { prompt_tokens, completion_tokens }) = used {
            let [prompt, completion] = &self.tokens;
            prompt.inc_by(prompt_tokens);
            completion.inc_by(completion_tokens);
        }
    }
}

fn kinds(route: &str, backend: &str) -> [OfTokens; TOKENS.len()] {
    TOKENS.map(|kind| OfTokens { route: route.to_owned(), backend: backend.to_owned(), kind })
}

fn outcomes(route: &str, backend: &str) -> [OfOutcome; OUTCOMES.len()] {
    OUTCOMES.map(|outcome| OfOutcome { route: route.to_owned(), backend: backend.to_owned(), outcome })
}
