//! The endpoints of a route: who gets the next request, and what each request taught. A gateway holds one pool for each route and
//! cluster, behind a lock; [`tiers`](crate::tiers) chooses among clusters.
//!
//! A pick reserves a place at an endpoint until the request ends, which for a stream is its last byte. Counts and estimates survive
//! every [`update`](Pool::update). An endpoint that is gone gets nothing new, and is kept until its last request has ended.

mod choice;
mod endpoint;
mod requests;
mod status;
#[cfg(test)]
mod tests;
mod update;

use std::time::Duration;

pub use endpoint::Endpoint;
use endpoint::State;
use requests::Requests;
pub use requests::Ticket;
pub use status::{Condition, Load, Status};

use crate::affinity::Bound;
use crate::ejection;
use crate::failure::Failure;
use crate::health::{Health, Thresholds};
use crate::least_response_time::CHOICES;
use crate::response_time::{Baseline, median};
use crate::slow_start::SlowStart;

/// The median of estimates is looked at so often.
const MEDIAN_EVERY: Duration = Duration::from_secs(1);
/// Seconds to assume while no endpoint has answered yet. They are equal then, so any number does.
const UNKNOWN_MEDIAN: f64 = 1.0;

/// Who gets the next request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// One after the other, by weight.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastConnection,
    /// The one whose first byte is to be expected soonest.
    LeastResponseTime,
}

/// How a pool works. The defaults suit inference: seconds rather than milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Who gets the next request.
    pub algorithm: Algorithm,
    /// In this time a response time that was seen loses its weight to 1/e.
    pub decay: Duration,
    /// Endpoints that least response time compares for each request.
    pub choices: usize,
    /// How much an endpoint may hold of requests with affinity to it.
    pub affinity: Bound,
    /// When endpoints that fail are left out.
    pub ejection: ejection::Settings,
    /// When endpoints that fail active checks are left out.
    pub health: Thresholds,
    /// How new endpoints begin.
    pub slow_start: SlowStart,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            decay: Duration::from_secs(10),
            choices: CHOICES,
            affinity: Bound::default(),
            ejection: ejection::Settings::default(),
            health: Thresholds::default(),
            slow_start: SlowStart::default(),
        }
    }
}

/// What matters about a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Requests with the same key go to the same endpoint if that has room, whatever the algorithm.
    pub affinity: Option<u64>,
    /// Earlier attempts, or the one that a hedge is to overtake: their endpoints are asked again only if there is no other.
    pub tried: &'a [Ticket],
}

/// Why no endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpoint {
    /// There is nothing to wait for.
    #[error("no endpoint has a weight above zero: the model has no ready replica")]
    Empty,
    /// Room comes when a request ends.
    #[error(
        "all endpoints that work have as many requests in flight as they take: wait, or raise the number of replicas"
    )]
    Full,
}

/// Endpoints, and the requests in flight to them.
#[derive(Debug)]
pub struct Pool<K> {
    settings: Settings,
    /// Those that serve, by key, and then those that are drained.
    endpoints: Vec<State<K>>,
    serving: usize,
    /// The largest weight of those that serve.
    heaviest: f64,
    requests: Requests,
    /// Endpoints that there have ever been.
    numbers: u64,
    picks: u64,
    /// Of the estimates in seconds, and when it was found.
    median: Option<(f64, Duration)>,
    /// When the last first byte came.
    answered: Option<Duration>,
    scratch: Vec<f64>,
}

impl<K: Clone + Ord> Pool<K> {
    /// Without endpoints.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            endpoints: Vec::new(),
            serving: 0,
            heaviest: 0.0,
            requests: Requests::default(),
            numbers: 0,
            picks: 0,
            median: None,
            answered: None,
            scratch: Vec::new(),
        }
    }

    /// Works by other settings from now on. What is known of endpoints stays.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Picks an endpoint and reserves a place there, until [`end`](Self::end) or [`failed`](Self::failed).
    ///
    /// # Errors
    /// When there is no endpoint, or all that work are full.
    pub fn pick(
        &mut self,
        request: &Request<'_>,
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> Result<Ticket, NoEndpoint> {
        self.refresh_median(now);
        let place = self.choose(request, now, rng)?;
        self.picks += 1;
        let state = self.endpoints.get_mut(place).ok_or(NoEndpoint::Empty)?;
        state.in_flight += 1;
        state.picked = self.picks;
        Ok(self.requests.begin(place, state.number, &mut state.waiting, now))
    }

    /// The endpoint of a request in flight.
    #[must_use]
    pub fn key(&self, ticket: Ticket) -> Option<&K> {
        let request = self.requests.get(ticket)?;
        self.endpoints.get(request.endpoint).map(|state| &state.told.key)
    }

    /// The first byte of an answer came that is none of [`Failure`]. To say so once more changes nothing.
    pub fn first_byte(&mut self, ticket: Ticket, now: Duration) {
        let baseline = self.baseline();
        let Some(request) = self.requests.get(ticket).filter(|request| request.is_waiting) else { return };
        let Some(state) = self.endpoints.get_mut(request.endpoint) else { return };
        let waited = now.saturating_sub(request.began);
        state.response.answered(waited, &baseline, now);
        state.answered = (state.answered.0 + 1, state.answered.1.saturating_add(waited));
        self.requests.stop_waiting(ticket, &mut state.waiting);
        self.answered = Some(now);
    }

    /// The request ended well, or without an answer that is known of: then it was cancelled. Returns whether it was in flight.
    pub fn end(&mut self, ticket: Ticket, now: Duration) -> bool {
        let Some(request) = self.requests.get(ticket) else { return false };
        if request.is_waiting {
            return self.failed(ticket, Failure::Cancelled, now);
        }
        if let Some(state) = self.endpoints.get_mut(request.endpoint) {
            state.ejection.succeeded(now);
        }
        self.release(ticket)
    }

    /// The request ended otherwise. Returns whether it was in flight.
    pub fn failed(&mut self, ticket: Ticket, failure: Failure, now: Duration) -> bool {
        let baseline = self.baseline();
        let Some(request) = self.requests.get(ticket) else { return false };
        let Some(state) = self.endpoints.get_mut(request.endpoint) else { return false };
        // How long it went on after its first byte says nothing of the time to it.
        let waited = if request.is_waiting { now.saturating_sub(request.began) } else { Duration::ZERO };
        match failure {
            Failure::Cancelled => state.response.given_up(waited, &baseline, now),
            Failure::ClientError => state.ejection.succeeded(now),
            _ => state.response.failed(waited, &baseline, now),
        }
        if failure.is_fault() && state.ejection.failed(&self.settings.ejection, now) {
            self.eject(request.endpoint, now);
        }
        self.release(ticket)
    }

    /// An active check of an endpoint passed or failed. Returns whether that changed its state.
    pub fn checked(&mut self, key: &K, passed: bool, now: Duration) -> bool {
        let thresholds = self.settings.health;
        let Some(state) = self.endpoints.iter_mut().find(|state| state.told.key == *key) else { return false };
        let changed = state.health.checked(passed, &thresholds);
        if changed && passed {
            state.serving = Some(now);
        }
        changed
    }

    /// Nobody checks any more: what checks have said so far counts no more.
    pub fn forget_checks(&mut self) {
        for state in &mut self.endpoints {
            state.health = Health::default();
        }
    }

    /// Gives the request's place back.
    fn release(&mut self, ticket: Ticket) -> bool {
        let Some(request) = self.requests.get(ticket) else { return false };
        if let Some(state) = self.endpoints.get_mut(request.endpoint) {
            self.requests.stop_waiting(ticket, &mut state.waiting);
            state.in_flight = state.in_flight.saturating_sub(1);
        }
        self.requests.end(ticket);
        true
    }

    /// Ejects an endpoint if the pool may spare it.
    fn eject(&mut self, place: usize, now: Duration) {
        let settings = self.settings.ejection;
        let ejected = self.serving().iter().filter(|state| state.ejection.is_ejected(now)).count();
        if ejected < settings.most_of(self.serving)
            && let Some(state) = self.endpoints.get_mut(place)
        {
            state.ejection.eject(&settings, now);
        }
    }

    fn serving(&self) -> &[State<K>] {
        self.endpoints.get(..self.serving).unwrap_or_default()
    }

    fn baseline(&self) -> Baseline {
        let median = self.median.map_or(UNKNOWN_MEDIAN, |(median, _)| median);
        Baseline { median, decay: self.settings.decay }
    }

    fn refresh_median(&mut self, now: Duration) {
        if self.median.is_some_and(|(_, at)| now.saturating_sub(at) < MEDIAN_EVERY) {
            return;
        }
        self.scratch.clear();
        self.scratch.extend(self.endpoints.iter().take(self.serving).filter_map(|state| state.response.last()));
        if let Some(median) = median(&mut self.scratch) {
            self.median = Some((median, now));
        }
    }
}
