//! A route in the course of time.

use std::sync::{Arc, Mutex, PoisonError};

use skyfleet_balance::round_robin;

use crate::backend::Backend;
use crate::config::{AffinityBy, BackendConfig, EndpointConfig, Matching, RouteConfig};
use crate::health::Target;
use crate::hedge::Hedges;
use crate::limits::Limiter;
use crate::metrics::Metrics;
use crate::shadow::Shadow;
use crate::status::{ConflictStatus, RouteStatus};
use crate::upstream::{Spoken, Upstream, spoken};

pub(crate) struct Route {
    pub(crate) config: RouteConfig,
    backends: Vec<Arc<Backend>>,
    /// What clients may ask for, where that is limited.
    pub(crate) limiter: Option<Arc<Limiter>>,
    /// What is sent twice, where that is asked for.
    pub(crate) hedges: Option<Arc<Hedges>>,
    /// Who is sent copies, where that is asked for.
    pub(crate) shadow: Option<Shadow>,
    /// What is spoken to endpoints.
    pub(crate) upstream: Spoken,
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
        let shadow = config.shadow.as_ref().map(|shadow| {
            let known = before.and_then(|before| before.shadow.as_ref());
            Shadow::new(&config, shadow, known, metrics)
        });
        let upstream = spoken(&config, before.map(|before| (&before.config, &before.upstream)));
        Self { config, backends, limiter, hedges, shadow, upstream, turns }
    }

    /// What is spoken to endpoints, where that is not HTTP/1.1 in clear text.
    pub(crate) fn upstream(&self) -> Option<&Upstream> {
        self.upstream.as_ref().ok().and_then(Option::as_deref)
    }

    /// The names of backends that another state of the route does not have.
    pub(crate) fn backends_missing_in(&self, other: Option<&Self>) -> impl Iterator<Item = &str> {
        let is_there = move |backend: &&Arc<Backend>| {
            other.is_some_and(|other| other.backends.iter().any(|known| known.name == backend.name))
        };
        self.backends.iter().filter(move |backend| !is_there(backend)).map(|backend| backend.name.as_str())
    }

    /// The endpoints that are asked whether they are well.
    pub(crate) fn checked(&self) -> Vec<Target> {
        // Where it must not be spoken to endpoints, they cannot be asked either.
        let (Some(check), Ok(upstream)) = (&self.config.health, &self.upstream) else { return Vec::new() };
        let shadow =
            self.shadow.iter().zip(&self.config.shadow).map(|(shadow, config)| (&shadow.backend, &config.backend));
        let backends = self.backends.iter().zip(&self.config.backends).chain(shadow);
        let targets = backends.flat_map(|(backend, config)| {
            config.endpoints.iter().map(|EndpointConfig { endpoint, .. }| Target {
                route: self.config.name.clone(),
                backend: backend.clone(),
                endpoint: endpoint.clone(),
                check: check.clone(),
                upstream: upstream.clone(),
            })
        });
        targets.collect()
    }

    /// The name of the shadow, if another state of the route does not have it.
    pub(crate) fn shadow_missing_in(&self, other: Option<&Self>) -> Option<&str> {
        let name = |route: &Self| route.shadow.as_ref().map(|shadow| shadow.backend.name.clone());
        let own = self.shadow.as_ref().map(|shadow| shadow.backend.name.as_str())?;
        (other.and_then(name).as_deref() != Some(own)).then_some(own)
    }

    /// `conflicts` are known where all routes are.
    pub(crate) fn status(&self, conflicts: Vec<ConflictStatus>) -> RouteStatus {
        let Matching { hosts, path_prefixes, models } = self.config.matching.clone();
        let backends = self.backends.iter().zip(&self.config.backends);
        let backends = backends.map(|(backend, config)| backend.status(config.weight)).collect();
        let shadow = self.shadow.as_ref().map(Shadow::status);
        RouteStatus { name: self.config.name.clone(), hosts, path_prefixes, models, conflicts, backends, shadow }
    }

    /// Whether bodies are kept until they are whole: who gets a request depends on it, or there is to be a copy.
    pub(crate) fn keeps_bodies(&self) -> bool {
        self.shadow.is_some() || self.looks_at_prompts()
    }

    fn looks_at_prompts(&self) -> bool {
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
