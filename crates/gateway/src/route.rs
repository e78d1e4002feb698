//! A route in the course of time.

use std::sync::{Arc, Mutex, PoisonError};

use skyfleet_balance::round_robin;

use crate::backend::Backend;
use crate::config::{AffinityBy, BackendConfig, Matching, RouteConfig};
use crate::hedge::Hedges;
use crate::limits::Limiter;
use crate::metrics::Metrics;
use crate::status::RouteStatus;

pub(crate) struct Route {
    pub(crate) config: RouteConfig,
    backends: Vec<Arc<Backend>>,
    /// What clients may ask for, where that is limited.
    pub(crate) limiter: Option<Arc<Limiter>>,
    /// What is sent twice, where that is asked for.
    pub(crate) hedges: Option<Arc<Hedges>>,
    /// Whose turn it is, of the backends.
    turns: Mutex<Vec<i64>>,
}

impl Route {
    /// The route as it is to be, with the backends that it has had.
    pub(crate) fn new(config: RouteConfig, before: Option<&Self>, metrics: &Metrics) -> Self {
        let backend = |backend: &BackendConfig| {
            let known = before.and_then(|before| before.backends.iter().find(|known| known.name == backend.name));
            let known = known.cloned().unwrap_or_else(|| {
                let measured = metrics.of_backend(&config.name, &backend.name);
                Arc::new(Backend::new(&backend.name, fastrand::Rng::new(), measured))
            });
            known.configure(&config, backend);
            known.serve_waiting();
            known
        };
        let backends: Vec<_> = config.backends.iter().map(backend).collect();
        let turns = Mutex::new(vec![0; backends.len()]);
        let limiter = config.limits.is_limited().then(|| {
            let known = before.and_then(|before| before.limiter.clone());
            let limiter = known.unwrap_or_else(|| Arc::new(Limiter::new()));
            limiter.configure(&config.limits);
            limiter
        });
        let hedges = config.hedging.map(|hedging| {
            let known = before.and_then(|before| before.hedges.clone());
            let new = || Arc::new(Hedges::new(hedging, metrics.counters.of_hedges(&config.name)));
            let hedges = known.unwrap_or_else(new);
            hedges.configure(hedging);
            hedges
        });
        Self { config, backends, limiter, hedges, turns }
    }

    /// The names of backends that another state of the route does not have.
    pub(crate) fn backends_missing_in(&self, other: Option<&Self>) -> impl Iterator<Item = &str> {
        let is_there = move |backend: &&Arc<Backend>| {
            other.is_some_and(|other| other.backends.iter().any(|known| known.name == backend.name))
        };
        self.backends.iter().filter(move |backend| !is_there(backend)).map(|backend| backend.name.as_str())
    }

    pub(crate) fn status(&self) -> RouteStatus {
        let Matching { hosts, path_prefixes, models } = self.config.matching.clone();
        let backends = self.backends.iter().zip(&self.config.backends);
        let backends = backends.map(|(backend, config)| backend.status(config.weight)).collect();
        RouteStatus { name: self.config.name.clone(), hosts, path_prefixes, models, backends }
    }

    /// Whether who gets a request depends on its body.
    pub(crate) fn looks_at_prompts(&self) -> bool {
        self.config.affinity.as_ref().is_some_and(|affinity| matches!(affinity.by, AffinityBy::PromptPrefix(_)))
    }

    /// The backend whose turn it is, by weight. One without endpoints has none as long as others have some.
    pub(crate) fn backend(&self) -> Option<(&Arc<Backend>, &BackendConfig)> {
        let all = || self.backends.iter().zip(&self.config.backends);
        if self.backends.len() < 2 {
            return all().next();
        }
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let weight = |backend: &BackendConfig| if backend.endpoints.is_empty() { 0 } else { i64::from(backend.weight) };
        let weights = self.config.backends.iter().map(weight);
        let candidates = turns.iter_mut().zip(weights).enumerate();
        let place = round_robin::pick(candidates.map(|(place, (turn, weight))| (place, turn, weight)));
        // With nobody to answer, it is one whose replicas are waited for: never one that is to get nothing.
        let place = place.or_else(|| self.config.backends.iter().position(|backend| backend.weight > 0));
        all().nth(place?)
    }
}
