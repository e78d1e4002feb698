//! Who gets a request, of those that may.

use std::time::Duration;

use super::endpoint::State;
use super::{Algorithm, NoEndpoint, Pool, Request};
use crate::least_response_time::{self, cost};
use crate::{affinity, least_connection, round_robin};

/// Turns of round robin are whole numbers: a weight of 1 is so many, so that the shares of slow start are not lost.
const TURN: f64 = 1024.0;

impl<K: Clone + Ord> Pool<K> {
    /// The place of the endpoint that is to get this request.
    ///
    /// Where none is left that is healthy, all are taken for healthy: that all broke at once is less likely than that the checks
    /// are wrong, and a request that may fail is better than one that does. Envoy does so as soon as half of the endpoints are
    /// unhealthy, lest the rest be crushed; here the rest have bounds and a queue before them, and ejections are capped anyway.
    pub(super) fn choose(
        &mut self,
        request: &Request<'_>,
        now: Duration,
        rng: &mut fastrand::Rng,
    ) -> Result<usize, NoEndpoint> {
        let is_free = |state: &State<K>| state.is_available(now) && state.has_room();
        if let Some(place) = self.prefer_untried(request, now, rng, is_free) {
            return Ok(place);
        }
        let mut weighted = self.serving().iter().filter(|state| state.told.weight > 0).peekable();
        weighted.peek().ok_or(NoEndpoint::Empty)?;
        if weighted.any(|state| state.is_available(now)) {
            return Err(NoEndpoint::Full);
        }
        self.prefer_untried(request, now, rng, State::has_room).ok_or(NoEndpoint::Full)
    }

    fn prefer_untried(
        &mut self,
        request: &Request<'_>,
        now: Duration,
        rng: &mut fastrand::Rng,
        eligible: impl Fn(&State<K>) -> bool,
    ) -> Option<usize> {
        if request.tried.is_empty() {
            return self.select(request.affinity, now, rng, eligible);
        }
        let is_tried = |state: &State<K>| request.tried.iter().any(|ticket| ticket.endpoint == state.number);
        self.select(request.affinity, now, rng, |state| eligible(state) && !is_tried(state))
            .or_else(|| self.select(request.affinity, now, rng, eligible))
    }

    fn select(
        &mut self,
        key: Option<u64>,
        now: Duration,
        rng: &mut fastrand::Rng,
        eligible: impl Fn(&State<K>) -> bool,
    ) -> Option<usize> {
        if let Some(key) = key {
            return self.by_affinity(key, eligible);
        }
        match self.settings.algorithm {
            Algorithm::RoundRobin => self.by_turn(now, eligible),
            Algorithm::LeastConnection => self.by_connections(now, rng, eligible),
            Algorithm::LeastResponseTime => self.by_response_time(now, rng, eligible),
        }
    }

    /// By whole weights: while one endpoint starts slowly, gateways would not agree where a key belongs.
    fn by_affinity(&self, key: u64, eligible: impl Fn(&State<K>) -> bool) -> Option<usize> {
        let eligible = self.serving().iter().enumerate().filter(|(_, state)| eligible(state));
        let candidates = eligible.map(|(index, state)| affinity::Candidate {
            index,
            identity: state.told.identity,
            weight: f64::from(state.told.weight),
            in_flight: state.in_flight,
        });
        affinity::pick(key, candidates, &self.settings.affinity)
    }

    fn by_turn(&mut self, now: Duration, eligible: impl Fn(&State<K>) -> bool) -> Option<usize> {
        let settings = &self.settings;
        let serving = self.endpoints.iter_mut().take(self.serving).enumerate();
        round_robin::pick(serving.filter(|(_, state)| eligible(state)).map(|(place, state)| {
            #[allow(clippy::cast_possible_truncation, reason = "below 2^42")]
            let weight = (state.weight(settings, now) * TURN) as i64;
            // Who may be picked has a turn, however slow its start.
            (place, &mut state.turn, weight.max(1))
        }))
    }

    fn by_connections(
        &self,
        now: Duration,
        rng: &mut fastrand::Rng,
        eligible: impl Fn(&State<K>) -> bool,
    ) -> Option<usize> {
        let eligible = self.serving().iter().enumerate().filter(|(_, state)| eligible(state));
        let candidates = eligible.map(|(index, state)| least_connection::Candidate {
            index,
            load: least_connection::load(state.in_flight, state.weight(&self.settings, now)),
            picked: state.picked,
        });
        least_connection::pick(candidates, rng)
    }

    fn by_response_time(
        &self,
        now: Duration,
        rng: &mut fastrand::Rng,
        eligible: impl Fn(&State<K>) -> bool,
    ) -> Option<usize> {
        let baseline = self.baseline();
        let serving = self.serving();
        let candidate = |index: usize| {
            let state = serving.get(index).filter(|state| eligible(state))?;
            let weight = state.weight(&self.settings, now);
            let expected = state.response.read(&baseline, now);
            let oldest = self.requests.oldest(&state.waiting);
            let waiting = oldest.map_or(0.0, |began| now.saturating_sub(began).as_secs_f64());
            let cost = cost(expected, waiting, state.in_flight, weight);
            Some(least_response_time::Candidate { chance: weight / self.heaviest, cost })
        };
        least_response_time::pick(serving.len(), self.settings.choices, candidate, rng)
    }

    /// Round robin begins anywhere in its cycle: gateways that start together would otherwise go round in step.
    pub(super) fn enter_cycle(&mut self, now: Duration, rng: &mut fastrand::Rng) {
        for _ in 0..rng.usize(..=self.serving) {
            self.by_turn(now, |_| true);
        }
    }
}
