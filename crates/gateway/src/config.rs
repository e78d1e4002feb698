//! What a gateway is to do: plain data, from whatever says it.

mod resilience;
mod upstream;

use std::time::Duration;

pub use resilience::{HealthConfig, HedgingConfig, ShadowConfig};
pub use upstream::{ClientCertificate, Protocol, TlsSettings, UpstreamTls};

/// All routes, the oldest first: of two that take the same requests, the first one has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The routes.
    pub routes: Vec<RouteConfig>,
}

/// Where requests of some kind go, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteConfig {
    /// `namespace/name`, also for logs and metrics.
    pub name: String,
    /// Which requests it takes.
    pub matching: Matching,
    /// Where they go.
    pub backends: Vec<BackendConfig>,
    /// Where copies go; nowhere if it is not given.
    pub shadow: Option<ShadowConfig>,
    /// Who of the endpoints gets one.
    pub algorithm: Algorithm,
    /// Which endpoints come first; all are alike if it is not given.
    pub locality: Option<Locality>,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// How often is tried.
    pub retries: Retries,
    /// When a second endpoint is asked too; never if it is not given.
    pub hedging: Option<HedgingConfig>,
    /// Which requests go to the same endpoint.
    pub affinity: Option<Affinity>,
    /// When endpoints that fail get none for a while.
    pub ejection: Ejection,
    /// How endpoints are asked whether they are well; they are not if it is not given.
    pub health: Option<HealthConfig>,
    /// For so long an endpoint that begins to serve gets fewer requests than its share.
    pub slow_start: Duration,
    /// Requests in flight to each replica; `None` for any number.
    pub most_in_flight: Option<u32>,
    /// Requests that wait while no replica can take them; nobody does if it is not given.
    pub queue: Option<QueueConfig>,
    /// What clients may ask for.
    pub limits: RateLimits,
    /// The most bytes of a request's body.
    pub request_bytes: u64,
    /// What is spoken to endpoints.
    pub protocol: Protocol,
    /// TLS towards endpoints; in clear text if not given.
    pub tls: Option<UpstreamTls>,
}

/// Which requests a route takes. What is empty takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// Host names without port, in lower case, exact or `*.suffix`.
    pub hosts: Vec<String>,
    /// What paths begin with: whole segments.
    pub path_prefixes: Vec<String>,
    /// The field `model` of the body, which is JSON then.
    pub models: Vec<String>,
}

/// A share of a route's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendConfig {
    /// The ModelDeployment.
    pub name: String,
    /// Its share in relation to the others'. Zero gets none.
    pub weight: u32,
    /// What the field `model` of a body becomes.
    pub model: Option<String>,
    /// Where it answers.
    pub endpoints: Vec<EndpointConfig>,
}

/// A replica, or what stands for several in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// Which one it is.
    pub endpoint: Endpoint,
    /// Replicas behind it.
    pub weight: u32,
    /// What it costs to get answers out of its cloud, in any unit that all have in common: of clusters that answer nearly as soon, the
    /// cheaper ones come first.
    pub egress_price: u64,
}

/// Where requests go. What is the same stays the same endpoint when the configuration changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The Cluster.
    pub cluster: String,
    /// Its name there.
    pub name: String,
    /// A host name or an address, of version 6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// No connection can be made to it: its cluster's [`Relay`](crate::Relay) carries requests there.
    pub is_relayed: bool,
}

/// Who gets the next request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// Each in its turn.
    RoundRobin,
    /// Who has the fewest in flight.
    LeastConnection,
    /// Who answers first.
    #[default]
    LeastResponseTime,
}

/// Local endpoints come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locality {
    /// The Cluster whose endpoints are local.
    pub cluster: String,
    /// With so many percent of the requests in flight that these take, others are asked too.
    pub spill_over_percent: u32,
}

/// How long is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the first byte of an answer, after the request was sent.
    pub first_byte: Duration,
    /// For each further piece of a body.
    pub idle: Duration,
    /// For the whole of a request and its answer; any time if not given.
    pub request: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_mins(5),
            idle: Duration::from_mins(1),
            request: None,
        }
    }
}

/// How often is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Beyond the first time.
    pub attempts: u32,
    /// Of all requests, in percent.
    pub budget_percent: u32,
    /// Whether a stream counts as failed that begins with an error.
    pub on_first_frame_error: bool,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 2, budget_percent: 20, on_first_frame_error: true }
    }
}

/// Which requests go to the same endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// What they have in common.
    pub by: AffinityBy,
    /// An endpoint with so many percent of its share of all requests in flight gets no more of them.
    pub bound_percent: u32,
}

/// What requests have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AffinityBy {
    /// The value of a header; in lower case.
    Header(String),
    /// The value of a cookie, which the gateway sets where a request has none.
    Cookie {
        /// Its name.
        name: String,
        /// For so long clients keep it; until they end if not given.
        ttl: Option<Duration>,
    },
    /// The address of the client.
    ClientAddress,
    /// So many bytes at the beginning of the prompt.
    PromptPrefix(usize),
}

/// When endpoints that fail get no requests for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Failures one after the other.
    pub consecutive_errors: u32,
    /// For so long the first time, and longer each further time.
    pub base: Duration,
    /// Of all endpoints at most, in percent; zero turns it off.
    pub most_percent: u32,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { consecutive_errors: 5, base: Duration::from_secs(30), most_percent: 50 }
    }
}

/// Requests that wait while no replica can take them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueConfig {
    /// How many.
    pub most: u32,
    /// Each for so long.
    pub timeout: Duration,
}

/// What clients may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Clients are told apart by the value of this header, in lower case; by their addresses without it.
    pub client_header: Option<String>,
    /// What each may.
    pub per_client: Option<Rates>,
    /// What all together may.
    pub total: Option<Rates>,
}

/// So much in a minute; any number if not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Requests.
    pub requests_per_minute: Option<u64>,
    /// Tokens of prompts and answers.
    pub tokens_per_minute: Option<u64>,
}

impl RateLimits {
    /// Whether anything is limited.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.per_client.is_some() || self.total.is_some()
    }

    /// Whether tokens are.
    #[must_use]
    pub fn counts_tokens(&self) -> bool {
        [self.per_client, self.total].into_iter().flatten().any(|rates| rates.tokens_per_minute.is_some())
    }
}
