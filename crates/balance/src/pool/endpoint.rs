//! An endpoint: what the caller tells of it, and what the pool learns.

use std::time::Duration;

use super::Settings;
use super::requests::Waiting;
use crate::ejection::Ejection;
use crate::health::Health;
use crate::response_time::ResponseTime;

/// Where requests can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint<K> {
    /// Its name: what has the same key in the next update is the same endpoint.
    pub key: K,
    /// [`affinity::hash`](crate::affinity::hash) of a name that is the same in every gateway.
    pub identity: u64,
    /// Its capacity in relation to the others'. Zero gets no requests.
    pub weight: u32,
    /// Requests that it takes at once.
    pub most_in_flight: u32,
}

impl<K> Endpoint<K> {
    /// With a weight of 1 and no bound on its requests.
    #[must_use]
    pub fn new(key: K, identity: u64) -> Self {
        Self { key, identity, weight: 1, most_in_flight: u32::MAX }
    }
}

/// What is known of an endpoint.
#[derive(Debug)]
pub(super) struct State<K> {
    pub told: Endpoint<K>,
    /// No other endpoint of the pool has ever had this number.
    pub number: u64,
    pub in_flight: u32,
    pub waiting: Waiting,
    /// For round robin.
    pub turn: i64,
    /// The number of the pick that chose it last.
    pub picked: u64,
    pub response: ResponseTime,
    /// First bytes that came ever, and the time that they took together.
    pub answered: (u64, Duration),
    pub ejection: Ejection,
    pub health: Health,
    /// Since when it serves, unless it always has.
    pub serving: Option<Duration>,
}

impl<K> State<K> {
    pub fn new(told: Endpoint<K>, number: u64, serving: Option<Duration>) -> Self {
        Self {
            told,
            number,
            in_flight: 0,
            waiting: Waiting::default(),
            turn: 0,
            picked: 0,
            response: ResponseTime::default(),
            answered: (0, Duration::ZERO),
            ejection: Ejection::default(),
            health: Health::default(),
            serving,
        }
    }

    /// Nothing speaks against it.
    pub fn is_available(&self, now: Duration) -> bool {
        self.health.is_up() && !self.ejection.is_ejected(now)
    }

    pub fn has_room(&self) -> bool {
        self.told.weight > 0 && self.in_flight < self.told.most_in_flight
    }

    /// Its weight, less while it has not served for long.
    pub fn weight(&self, settings: &Settings, now: Duration) -> f64 {
        let weight = f64::from(self.told.weight);
        match self.serving.max(self.ejection.readmitted()) {
            Some(since) => weight * settings.slow_start.share(now.saturating_sub(since)),
            None => weight,
        }
    }
}
