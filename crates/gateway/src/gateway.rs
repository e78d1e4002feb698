//! What all workers of a gateway share: the routes as they are now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::health::Checks;
use crate::metrics::Metrics;
use crate::relay::{Relay, Relays};
use crate::route::Route;
use crate::status::{ConflictStatus, RouteStatus};
use crate::table::{Conflict, Table};

/// The routes as they are now.
#[derive(Default)]
pub struct Gateway {
    table: ArcSwap<Table<Route>>,
    /// One configuration is taken after the other.
    known: Mutex<Known>,
    /// The routes have changed.
    changed: Notify,
    pub(crate) metrics: Metrics,
    pub(crate) relays: Relays,
}

/// By the names of routes.
#[derive(Default)]
struct Known {
    routes: HashMap<String, Arc<Route>>,
    conflicts: HashMap<String, Vec<ConflictStatus>>,
}

impl Gateway {
    /// Goes by this from now on. Requests under way end as they began, and count at their endpoints until then.
    ///
    /// Says which requests a route does not get because an earlier one has them.
    pub fn configure(&self, config: Config) -> Vec<Conflict> {
        let mut known = self.known();
        let routes: Vec<_> = config
            .routes
            .into_iter()
            .map(|route| {
                let before = known.routes.get(&route.name).map(|route| &**route);
                Arc::new(Route::new(route, before, &self.metrics))
            })
            .collect();
        let (table, conflicts) = Table::new(routes.iter().map(|route| (route.config.matching.clone(), route.clone())));
        self.table.store(Arc::new(table));
        known.conflicts = by_route(&conflicts, &routes);
        let now = routes.into_iter().map(|route| (route.config.name.clone(), route)).collect();
        for (name, route) in std::mem::replace(&mut known.routes, now) {
            let now = known.routes.get(&name).map(|route| &**route);
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
                let known = self.known();
                known.routes.values().flat_map(|route| route.checked()).collect()
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
        let known = self.known();
        let conflicts = |name: &str| known.conflicts.get(name).cloned().unwrap_or_default();
        let mut status: Vec<_> = known.routes.iter().map(|(name, route)| route.status(conflicts(name))).collect();
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

    // A panic while the lock is held ends one change of the configuration; the next one sets all of it.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn table(&self) -> arc_swap::Guard<Arc<Table<Route>>> {
        self.table.load()
    }
}

fn by_route(conflicts: &[Conflict], routes: &[Arc<Route>]) -> HashMap<String, Vec<ConflictStatus>> {
    let name = |place: usize| routes.get(place).map(|route| route.config.name.clone()).unwrap_or_default();
    let mut by_route = HashMap::<_, Vec<_>>::new();
    for Conflict { route, taken_by, what } in conflicts {
        let conflict = ConflictStatus { taken_by: name(*taken_by), what: what.clone() };
        by_route.entry(name(*route)).or_default().push(conflict);
    }
    by_route
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Matching, RouteConfig};

    #[test]
    fn a_route_says_which_of_its_requests_an_earlier_one_has_as_long_as_it_has_them() {
        let route = |name: &str, models: &[&str]| {
            let models = models.iter().map(|&model| model.to_owned()).collect();
            let matching = Matching { models, ..Matching::default() };
            RouteConfig { name: name.to_owned(), matching, ..RouteConfig::default() }
        };
        let gateway = Gateway::default();
        let (old, young) = (route("ml/old", &["m", "n"]), route("ml/a-young-one", &["m", "x"]));
        assert_eq!(gateway.configure(Config { routes: vec![old, young.clone()] }).len(), 1);
        let status = gateway.status();
        let what = "host any, path any, model \"m\"".to_owned();
        assert_eq!(status[0].conflicts, [ConflictStatus { taken_by: "ml/old".to_owned(), what }]);
        assert_eq!((status[1].name.as_str(), status[1].conflicts.as_slice()), ("ml/old", [].as_slice()));
        gateway.configure(Config { routes: vec![young] });
        assert_eq!(gateway.status()[0].conflicts, []);
    }
}
