//! A backend of a route in the course of time: its endpoints, and the requests in flight to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use skyfleet_balance::budget::{self, Budget};
use skyfleet_balance::{Failure, NoEndpoint, pool};

use crate::areas::{Areas, Tried};
use crate::config::{BackendConfig, Endpoint, RouteConfig};
use crate::metrics::BackendMetrics;
use crate::status::{BackendStatus, EndpointStatus};
use crate::waiting::Waiting;

/// Survives changes of the configuration, so that no request in flight is forgotten.
pub(crate) struct Backend {
    pub(crate) name: String,
    metrics: BackendMetrics,
    /// From which on times are counted.
    began: Instant,
    state: Mutex<State>,
}

pub(crate) struct State {
    areas: Areas,
    retries: Budget,
    /// What it was made with.
    budget_percent: u32,
    pub(crate) waiting: Waiting,
    queues: bool,
    /// Requests that came while there was no replica.
    unmet: u64,
    rng: fastrand::Rng,
}

impl Backend {
    pub(crate) fn new(name: &str, rng: fastrand::Rng, metrics: BackendMetrics) -> Self {
        let retries = Budget::new(&budget::Settings { ratio: 0.0, ..budget::Settings::default() });
        let (areas, waiting) = (Areas::new(), Waiting::new());
        let state = State { areas, retries, budget_percent: 0, waiting, queues: false, unmet: 0, rng };
        Self { name: name.to_owned(), metrics, began: Instant::now(), state: Mutex::new(state) }
    }

    /// Works by this from now on.
    pub(crate) fn configure(&self, route: &RouteConfig, backend: &BackendConfig) {
        let now = self.began.elapsed();
        let mut state = self.state();
        state.queues = route.queue.is_some();
        state.waiting.configure(route.queue.unwrap_or_default());
        let State { areas, retries, budget_percent, rng, .. } = &mut *state;
        areas.configure(route, &backend.endpoints, now, rng);
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
                state.areas.end(tried, now);
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
        let picked = state.pick(affinity, tried, now);
        if tried.is_empty() && matches!(picked, Err(NoEndpoint::Empty)) {
            state.unmet += 1;
        }
        let (endpoint, tried) = picked?;
        Ok(InFlight { backend: self.clone(), endpoint, tried })
    }

    /// An endpoint was asked whether it is well. Says whether that changed anything.
    pub(crate) fn checked(self: &Arc<Self>, endpoint: &Arc<Endpoint>, passed: bool) -> bool {
        let now = self.began.elapsed();
        let mut state = self.state();
        let has_changed = state.areas.checked(endpoint, passed, now);
        drop(state);
        if has_changed {
            self.serve_waiting();
        }
        has_changed
    }

    pub(crate) fn status(&self, weight: u32) -> BackendStatus {
        let endpoint = |status: pool::Status<'_, Arc<Endpoint>>| EndpointStatus {
            cluster: status.key.cluster.clone(),
            name: status.key.name.clone(),
            address: format!("{}:{}", status.key.host, status.key.port),
            condition: format!("{:?}", status.condition),
            weight: status.weight,
            in_flight: status.in_flight,
            response_milliseconds: status.response_time.map(milliseconds),
            answered: status.answered,
            total_response_milliseconds: milliseconds(status.total_response_time),
        };
        let state = self.state();
        let now = self.began.elapsed();
        let endpoints = state.areas.endpoints(now).map(endpoint).collect();
        let (name, waiting, unmet) = (self.name.clone(), state.waiting.len(), state.unmet);
        BackendStatus { name, weight, waiting, unmet, endpoints }
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
        let Self { areas, rng, .. } = self;
        areas.pick(affinity, tried, now, rng)
    }
}

/// To the microsecond.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// A request that counts at an endpoint until this is dropped. Unless more is said, it was cancelled.
pub(crate) struct InFlight {
    backend: Arc<Backend>,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) tried: Tried,
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
        self.backend.state().areas.first_byte(self.tried, self.backend.began.elapsed());
    }

    /// It has failed, and counts no more.
    pub(crate) fn failed(&self, failure: Failure) {
        self.backend.state().areas.failed(self.tried, failure, self.backend.began.elapsed());
        self.backend.serve_waiting();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let was_there = self.backend.state().areas.end(self.tried, self.backend.began.elapsed());
        if was_there {
            self.backend.serve_waiting();
        }
    }
}
