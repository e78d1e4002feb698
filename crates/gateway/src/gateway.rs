//! What all workers of a gateway share: the routes as they are now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::health::Checks;
use crate::metrics::Metrics;
use crate::relay::{Relay, Relays};
use crate::route::Route;
use crate::status::RouteStatus;
use crate::table::{Conflict, Table};

/// The routes as they are now.
#[derive(Default)]
pub struct Gateway {
    table: ArcSwap<Table<Route>>,
    /// By name. One configuration is taken after the other.
    routes: Mutex<HashMap<String, Arc<Route>>>,
    /// The routes have changed.
    changed: Notify,
    pub(crate) metrics: Metrics,
    pub(crate) relays: Relays,
}

impl Gateway {
    /// Goes by this from now on. Requests under way end as they began, and count at their endpoints until then.
    ///
    /// Says which requests a route does not get because an earlier one has them.
    pub fn configure(&self, config: Config) -> Vec<Conflict> {
        let mut known = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let routes: Vec<_> = config
            .routes
            .into_iter()
            .map(|route| {
                let before = known.get(&route.name).map(|route| &**route);
                Arc::new(Route::new(route, before, &self.metrics))
            })
            .collect();
        let (table, conflicts) = Table::new(routes.iter().map(|route| (route.config.matching.clone(), route.clone())));
        self.table.store(Arc::new(table));
        let before = std::mem::take(&mut *known);
        *known = routes.into_iter().map(|route| (route.config.name.clone(), route)).collect();
        for (name, route) in before {
            let now = known.get(&name).map(|route| &**route);
            for backend in route.backends_missing_in(now) {
                self.metrics.forget(&name, backend);
            }
            if now.is_none_or(|now| now.hedges.is_none()) {
                self.metrics.counters.forget_hedges(&name);
            }
            if let Some(shadow) = route.shadow_missing_in(now) {
                self.metrics.counters.forget_shadow(&name, shadow);
            }
        }
        self.changed.notify_one();
        conflicts
    }

    /// Endpoints of these Clusters that are relayed are reached through these from now on.
    pub fn set_relays(&self, relays: HashMap<String, Arc<dyn Relay>>) {
        self.relays.set(relays);
    }

    /// Asks endpoints whether they are well, where their routes say so, until `stop`: one such future at a time, within a runtime of
    /// Tokio. Endpoints are followed as they come and go.
    pub async fn check_health(&self, stop: &CancellationToken) {
        let mut checks = Checks::new(self.metrics.counters.clone(), self.relays.clone());
        while !stop.is_cancelled() {
            let targets = {
                let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
                routes.values().flat_map(|route| route.checked()).collect()
            };
            checks.follow(targets);
            tokio::select! {
                () = self.changed.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// The routes and their endpoints as they are now, in the order of their names.
    #[must_use]
    pub fn status(&self) -> Vec<RouteStatus> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut status: Vec<_> = routes.values().map(|route| route.status()).collect();
        status.sort_by(|one, other| one.name.cmp(&other.name));
        status
    }

    /// What was measured, in the text format of OpenMetrics.
    ///
    /// # Errors
    /// When it cannot be written as text.
    pub fn metrics(&self) -> Result<String, std::fmt::Error> {
        self.metrics.encode(&self.status())
    }

    pub(crate) fn table(&self) -> arc_swap::Guard<Arc<Table<Route>>> {
        self.table.load()
    }
}
