//! A backend of a route in the course of time: its endpoints, and the requests in flight to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skyfleet_balance::affinity::{self, Bound};
use skyfleet_balance::budget::{self, Budget};
use skyfleet_balance::slow_start::SlowStart;
use skyfleet_balance::{Algorithm as Balance, Failure, NoEndpoint, Pool, Request, Ticket, ejection, pool, tiers};

use crate::config::{self, BackendConfig, Ejection, Endpoint, EndpointConfig, RouteConfig};
use crate::status::{BackendStatus, EndpointStatus};

/// Which of a backend's pools has the local endpoints, and which all others.
const LOCAL: usize = 0;
const ELSEWHERE: usize = 1;

/// Survives changes of the configuration, so that no request in flight is forgotten.
pub(crate) struct Backend {
    pub(crate) name: String,
    /// From which on times are counted.
    began: Instant,
    state: Mutex<State>,
}

struct State {
    /// The local endpoints, and all others.
    pools: [Pool<Arc<Endpoint>>; 2],
    /// How many endpoints each has.
    sizes: [usize; 2],
    /// The share of what local ones take at which others are asked too.
    spill_over: f64,
    retries: Budget,
    /// What it was made with.
    budget_percent: u32,
    rng: fastrand::Rng,
}

impl Backend {
    pub(crate) fn new(name: &str, rng: fastrand::Rng) -> Self {
        let pools = [Pool::new(pool::Settings::default()), Pool::new(pool::Settings::default())];
        let retries = Budget::new(&budget::Settings { ratio: 0.0, ..budget::Settings::default() });
        let state = State { pools, sizes: [0; 2], spill_over: 1.0, retries, budget_percent: 0, rng };
        Self { name: name.to_owned(), began: Instant::now(), state: Mutex::new(state) }
    }

    /// Works by this from now on.
    pub(crate) fn configure(&self, route: &RouteConfig, backend: &BackendConfig) {
        let here = route.locality.as_ref().map(|locality| locality.cluster.as_str());
        let is_local = |endpoint: &&EndpointConfig| Some(endpoint.endpoint.cluster.as_str()) == here;
        let (local, others): (Vec<_>, Vec<_>) = backend.endpoints.iter().partition(is_local);
        let now = self.began.elapsed();
        let mut state = self.state();
        let State { pools, sizes, spill_over, retries, budget_percent, rng } = &mut *state;
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

    /// Picks an endpoint other than those of earlier attempts, as long as there is another.
    pub(crate) fn pick(self: &Arc<Self>, affinity: Option<u64>, tried: &[Tried]) -> Result<InFlight, NoEndpoint> {
        let now = self.began.elapsed();
        let mut state = self.state();
        if tried.is_empty() {
            state.retries.deposit(now);
        }
        let area = state.area(tried, now);
        let tried: Vec<_> = tried.iter().filter(|tried| tried.area == area).map(|tried| tried.ticket).collect();
        let State { pools, rng, .. } = &mut *state;
        let ticket = pools[area].pick(&Request { affinity, tried: &tried }, now, rng)?;
        let endpoint = pools[area].key(ticket).cloned().ok_or(NoEndpoint::Empty)?;
        Ok(InFlight { backend: self.clone(), endpoint, tried: Tried { area, ticket } })
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
        BackendStatus { name: self.name.clone(), weight, endpoints }
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

    /// The first byte of a good answer is here.
    pub(crate) fn first_byte(&self) {
        let Tried { area, ticket } = self.tried;
        self.backend.state().pools[area].first_byte(ticket, self.backend.began.elapsed());
    }

    /// It has failed, and counts no more.
    pub(crate) fn failed(&self, failure: Failure) {
        let Tried { area, ticket } = self.tried;
        self.backend.state().pools[area].failed(ticket, failure, self.backend.began.elapsed());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Tried { area, ticket } = self.tried;
        self.backend.state().pools[area].end(ticket, self.backend.began.elapsed());
    }
}
