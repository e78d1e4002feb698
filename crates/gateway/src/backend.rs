//! A backend of a route in the course of time: its endpoints, and the requests in flight to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skyfleet_balance::affinity::{self, Bound};
use skyfleet_balance::budget::{self, Budget};
use skyfleet_balance::slow_start::SlowStart;
use skyfleet_balance::{Algorithm as Balance, Failure, NoEndpoint, Pool, Request, Ticket, ejection, pool, tiers};

use crate::config::{self, BackendConfig, Ejection, Endpoint, EndpointConfig, RouteConfig};
use crate::metrics::BackendMetrics;
use crate::status::{BackendStatus, EndpointStatus};
use crate::waiting::Waiting;

/// Which of a backend's pools has the local endpoints, and which all others.
const LOCAL: usize = 0;
const ELSEWHERE: usize = 1;

/// Survives changes of the configuration, so that no request in flight is forgotten.
pub(crate) struct Backend {
    pub(crate) name: String,
    metrics: BackendMetrics,
    /// From which on times are counted.
    began: Instant,
    state: Mutex<State>,
}

pub(crate) struct State {
    /// The local endpoints, and all others.
    pools: [Pool<Arc<Endpoint>>; 2],
    /// How many endpoints each has.
    sizes: [usize; 2],
    /// The share of what local ones take at which others are asked too.
    spill_over: f64,
    retries: Budget,
    /// What it was made with.
    budget_percent: u32,
    pub(crate) waiting: Waiting,
    queues: bool,
    rng: fastrand::Rng,
}

impl Backend {
    pub(crate) fn new(name: &str, rng: fastrand::Rng, metrics: BackendMetrics) -> Self {
        let pools = [Pool::new(pool::Settings::default()), Pool::new(pool::Settings::default())];
        let retries = Budget::new(&budget::Settings { ratio: 0.0, ..budget::Settings::default() });
        let state = State {
            pools,
            sizes: [0; 2],
            spill_over: 1.0,
            retries,
            budget_percent: 0,
            waiting: Waiting::new(),
            queues: false,
            rng,
        };
        Self { name: name.to_owned(), metrics, began: Instant::now(), state: Mutex::new(state) }
    }

    /// Works by this from now on.
    pub(crate) fn configure(&self, route: &RouteConfig, backend: &BackendConfig) {
        let here = route.locality.as_ref().map(|locality| locality.cluster.as_str());
        let is_local = |endpoint: &&EndpointConfig| Some(endpoint.endpoint.cluster.as_str()) == here;
        let (local, others): (Vec<_>, Vec<_>) = backend.endpoints.iter().partition(is_local);
        let now = self.began.elapsed();
        let mut state = self.state();
        state.queues = route.queue.is_some();
        state.waiting.configure(route.queue.unwrap_or_default());
        let State { pools, sizes, spill_over, retries, budget_percent, rng, .. } = &mut *state;
        *sizes = [local.len(), others.len()];
        *spill_over = route.locality.as_ref().map_or(1.0, |locality| f64::from(locality.spill_over_percent) / 100.0);
        for (pool, endpoints) in pools.iter_mut().zip([local, others]) {
            pool.configure(settings(route));
            pool.update(endpoints.into_iter().map(|endpoint| pooled(route, endpoint)), now, rng);
        }
        if *budget_percent != route.retries.budget_percent {
            *budget_percent = route.retries.budget_percent;
            let ratio = f64::from(*budget_percent) / 100.0;
            *retries = Budget::new(&budget::Settings { ratio, ..budget::Settings::default() });
        }
    }

    /// Those that wait, and the time.
    pub(crate) fn waiting(&self) -> (Duration, MutexGuard<'_, State>) {
        (self.began.elapsed(), self.state())
    }

    /// Whether requests may wait here.
    pub(crate) fn queues(&self) -> bool {
        self.state().queues
    }

    /// Gives places that are free to those that wait, one after the other.
    pub(crate) fn serve_waiting(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            if state.waiting.is_empty() {
                return;
            }
            let now = self.began.elapsed();
            let Ok((endpoint, tried)) = state.pick(None, &[], now) else { return };
            let Some(next) = state.waiting.next(now) else {
                // All that wait are too late, and about to see it.
                state.pools[tried.area].end(tried.ticket, now);
                return;
            };
            drop(state);
            // Who has gone meanwhile gives it back, and with it the next one is served.
            drop(next.send(InFlight { backend: self.clone(), endpoint, tried }));
        }
    }

    /// Picks an endpoint other than those of earlier attempts, as long as there is another.
    pub(crate) fn pick(self: &Arc<Self>, affinity: Option<u64>, tried: &[Tried]) -> Result<InFlight, NoEndpoint> {
        let now = self.began.elapsed();
        let mut state = self.state();
        if tried.is_empty() {
            state.retries.deposit(now);
        }
        // Who comes later waits behind those that wait.
        if tried.is_empty() && !state.waiting.is_empty() {
            return Err(NoEndpoint::Full);
        }
        let (endpoint, tried) = state.pick(affinity, tried, now)?;
        Ok(InFlight { backend: self.clone(), endpoint, tried })
    }

    pub(crate) fn status(&self, weight: u32) -> BackendStatus {
        let endpoint = |status: pool::Status<'_, Arc<Endpoint>>| EndpointStatus {
            cluster: status.key.cluster.clone(),
            name: status.key.name.clone(),
            address: format!("{}:{}", status.key.host, status.key.port),
            condition: format!("{:?}", status.condition),
            weight: status.weight,
            in_flight: status.in_flight,
            response_milliseconds: status.response_time.map(|time| (time.as_secs_f64() * 1e6).round() / 1e3),
        };
        let state = self.state();
        let now = self.began.elapsed();
        let endpoints = state.pools.iter().flat_map(|pool| pool.endpoints(now)).map(endpoint).collect();
        BackendStatus { name: self.name.clone(), weight, waiting: state.waiting.len(), endpoints }
    }

    /// Takes one more attempt out of the budget, if that has one.
    pub(crate) fn may_retry(&self) -> bool {
        self.state().retries.withdraw(self.began.elapsed())
    }

    // A panic while the lock is held ends one request; what the pool counts stays within what it checks.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pick(
        &mut self,
        affinity: Option<u64>,
        tried: &[Tried],
        now: Duration,
    ) -> Result<(Arc<Endpoint>, Tried), NoEndpoint> {
        let area = self.area(tried, now);
        let tried: Vec<_> = tried.iter().filter(|tried| tried.area == area).map(|tried| tried.ticket).collect();
        let Self { pools, rng, .. } = self;
        let ticket = pools[area].pick(&Request { affinity, tried: &tried }, now, rng)?;
        let endpoint = pools[area].key(ticket).cloned().ok_or(NoEndpoint::Empty)?;
        Ok((endpoint, Tried { area, ticket }))
    }

    /// Local endpoints come first, as long as they are not loaded and not all of them were tried.
    fn area(&self, tried: &[Tried], now: Duration) -> usize {
        match self.sizes {
            [0, _] => ELSEWHERE,
            [_, 0] => LOCAL,
            _ => {
                let areas = [LOCAL, ELSEWHERE].map(|area| {
                    let load = self.pools[area].load(now);
                    let tried = tried.iter().filter(|tried| tried.area == area).count();
                    tiers::Cluster {
                        is_local: area == LOCAL,
                        is_allowed: true,
                        replicas: load.endpoints,
                        available: load.available.saturating_sub(tried),
                        in_flight: load.in_flight,
                        capacity: load.capacity,
                        round_trip: Duration::ZERO,
                        response_time: load.response_time,
                        egress_price: 0,
                    }
                });
                let policy = tiers::Policy { spill_over: self.spill_over, ..tiers::Policy::default() };
                tiers::choose(&areas, &policy).unwrap_or(LOCAL)
            }
        }
    }
}

fn pooled(route: &RouteConfig, EndpointConfig { endpoint, weight }: &EndpointConfig) -> pool::Endpoint<Arc<Endpoint>> {
    let name = format!("{}/{}", endpoint.cluster, endpoint.name);
    pool::Endpoint {
        key: Arc::new(endpoint.clone()),
        identity: affinity::hash(name.as_bytes()),
        weight: *weight,
        most_in_flight: route.most_in_flight.map_or(u32::MAX, |most| most.saturating_mul(*weight)),
    }
}

fn settings(route: &RouteConfig) -> pool::Settings {
    let algorithm = match route.algorithm {
        config::Algorithm::RoundRobin => Balance::RoundRobin,
        config::Algorithm::LeastConnection => Balance::LeastConnection,
        config::Algorithm::LeastResponseTime => Balance::LeastResponseTime,
    };
    let Ejection { consecutive_errors, base, most_percent } = route.ejection;
    let consecutive = if most_percent == 0 { 0 } else { consecutive_errors };
    let bound = route.affinity.as_ref().map(|affinity| f64::from(affinity.bound_percent) / 100.0);
    let defaults = pool::Settings::default();
    pool::Settings {
        algorithm,
        affinity: Bound { load_factor: bound.unwrap_or(defaults.affinity.load_factor), ..defaults.affinity },
        ejection: ejection::Settings {
            consecutive,
            base,
            largest_share: f64::from(most_percent) / 100.0,
            ..defaults.ejection
        },
        slow_start: SlowStart { window: route.slow_start, ..defaults.slow_start },
        ..defaults
    }
}

/// A request that counts at an endpoint until this is dropped. Unless more is said, it was cancelled.
pub(crate) struct InFlight {
    backend: Arc<Backend>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) tried: Tried,
}

/// Where a request went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tried {
    area: usize,
    ticket: Ticket,
}

impl InFlight {
    pub(crate) fn backend(&self) -> &str {
        &self.backend.name
    }

    pub(crate) fn metrics(&self) -> &BackendMetrics {
        &self.backend.metrics
    }

    /// The first byte of a good answer is here.
    pub(crate) fn first_byte(&self) {
        let Tried { area, ticket } = self.tried;
        self.backend.state().pools[area].first_byte(ticket, self.backend.began.elapsed());
    }

    /// It has failed, and counts no more.
    pub(crate) fn failed(&self, failure: Failure) {
        let Tried { area, ticket } = self.tried;
        self.backend.state().pools[area].failed(ticket, failure, self.backend.began.elapsed());
        self.backend.serve_waiting();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Tried { area, ticket } = self.tried;
        let was_there = self.backend.state().pools[area].end(ticket, self.backend.began.elapsed());
        if was_there {
            self.backend.serve_waiting();
        }
    }
}
