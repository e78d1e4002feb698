//! What all workers of a gateway share: the routes as they are now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::route::Route;
use crate::status::RouteStatus;
use crate::table::{Conflict, Table};

/// The routes as they are now.
#[derive(Default)]
pub struct Gateway {
    table: ArcSwap<Table<Route>>,
    /// By name. One configuration is taken after the other.
    routes: Mutex<HashMap<String, Arc<Route>>>,
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
            .map(|route| Arc::new(Route::new(route.clone(), known.get(&route.name).map(|route| &**route))))
            .collect();
        let (table, conflicts) = Table::new(routes.iter().map(|route| (route.config.matching.clone(), route.clone())));
        self.table.store(Arc::new(table));
        *known = routes.into_iter().map(|route| (route.config.name.clone(), route)).collect();
        conflicts
    }

    /// The routes and their endpoints as they are now, in the order of their names.
    #[must_use]
    pub fn status(&self) -> Vec<RouteStatus> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut status: Vec<_> = routes.values().map(|route| route.status()).collect();
        status.sort_by(|one, other| one.name.cmp(&other.name));
        status
    }

    pub(crate) fn table(&self) -> arc_swap::Guard<Arc<Table<Route>>> {
        self.table.load()
    }
}
