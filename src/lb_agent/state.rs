//! How it stands with a load balancer, for people and programs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use skyfleet_drivers::{Lack, Shown, ShownState};

use super::args::DriverName;

/// How it stands with a load balancer.
pub(super) struct State {
    pub(super) driver: DriverName,
    known: Mutex<Known>,
}

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Routes that are wanted; `None` until the hub has said it.
    pub(super) routes: Option<usize>,
    /// What the load balancer cannot do, by route.
    pub(super) lacks: BTreeMap<String, Vec<Lack>>,
    /// What it has, as it said last.
    pub(super) shown: Option<Shown>,
    /// Why it is not as it should be.
    pub(super) error: Option<String>,
    /// How often hand-made changes were undone.
    pub(super) repairs: u64,
}

impl State {
    pub(super) fn new(driver: DriverName) -> Self {
        Self { driver, known: Mutex::default() }
    }

    pub(super) fn planned(&self, routes: usize, lacks: BTreeMap<String, Vec<Lack>>) {
        let mut known = self.lock();
        if known.lacks != lacks {
            for (route, lack) in lacks.iter().flat_map(|(route, all)| all.iter().map(move |lack| (route, lack))) {
                let Lack { field, instead, is_refused } = lack;
                tracing::warn!(route, field, is_refused, "{instead}");
            }
        }
        (known.routes, known.lacks) = (Some(routes), lacks);
    }

    pub(super) fn reached(&self, shown: Shown) {
        let mut known = self.lock();
        (known.shown, known.error) = (Some(shown), None);
    }

    /// Whether that is new.
    pub(super) fn failed(&self, error: String) -> bool {
        let mut known = self.lock();
        let is_new = known.error.as_ref() != Some(&error);
        known.error = Some(error);
        is_new
    }

    pub(super) fn repaired(&self) {
        self.lock().repairs += 1;
    }

    /// Whether servers drained when it was looked at last.
    pub(super) fn drained(&self) -> bool {
        self.lock().shown.as_ref().is_some_and(drains)
    }

    pub(super) fn known(&self) -> Known {
        self.lock().clone()
    }

    // Each change is whole before the lock is given back.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether servers finish what they have.
pub(super) fn drains(shown: &Shown) -> bool {
    let mut servers = shown.pools.values().flat_map(BTreeMap::values);
    servers.any(|server| server.state == ShownState::Draining)
}
