//! What a pool tells of itself: to people, to metrics, and to who chooses among clusters.

use std::time::Duration;

use super::Pool;
use super::endpoint::State;

/// After so many time constants without an answer a pool's response time is not known any more: e^-6 is a quarter of a percent.
const FORGOTTEN: u32 = 6;

/// How it stands with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// It gets requests.
    Serving,
    /// It failed active checks.
    Down,
    /// It failed requests, and gets none until then.
    Ejected,
    /// It is gone, but for the requests that it still has.
    Draining,
}

/// What is known of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status<'a, K> {
    /// Its name.
    pub key: &'a K,
    /// How it stands with it.
    pub condition: Condition,
    /// Requests that have not ended.
    pub in_flight: u32,
    /// Its weight at this time: less than it was given while it starts.
    pub weight: f64,
    /// The time to first byte that is expected of it, once it has answered.
    pub response_time: Option<Duration>,
    /// First bytes of good answers that have come since it is known.
    pub answered: u64,
    /// The times to all of these together: with an earlier look they give the mean of the time between.
    pub total_response_time: Duration,
}

/// What is known of all endpoints together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Endpoints that serve.
    pub endpoints: usize,
    /// Those of them that nothing speaks against.
    pub available: usize,
    /// Requests in flight at these.
    pub in_flight: u64,
    /// Requests that these take at once.
    pub capacity: u64,
    /// The median of the times to first byte; nothing if none came of late: who chooses among clusters may then try this one again.
    pub response_time: Option<Duration>,
    /// How long the oldest request waits for its first byte.
    pub waiting: Option<Duration>,
}

impl<K: Clone + Ord> Pool<K> {
    /// All endpoints, also those that are drained.
    pub fn endpoints(&self, now: Duration) -> impl Iterator<Item = Status<'_, K>> {
        let baseline = self.baseline();
        let is_kept = move |(place, state): &(usize, &State<K>)| *place < self.serving || state.in_flight > 0;
        self.endpoints.iter().enumerate().filter(is_kept).map(move |(place, state)| Status {
            key: &state.told.key,
            condition: match state {
                _ if place >= self.serving => Condition::Draining,
                state if !state.health.is_up() => Condition::Down,
                state if state.ejection.is_ejected(now) => Condition::Ejected,
                _ => Condition::Serving,
            },
            in_flight: state.in_flight,
            weight: state.weight(&self.settings, now),
            response_time: state.response.last().and_then(|_| seconds(state.response.read(&baseline, now))),
            answered: state.answered.0,
            total_response_time: state.answered.1,
        })
    }

    /// What may be sent here, and how fast it answers.
    #[must_use]
    pub fn load(&self, now: Duration) -> Load {
        let weighted = || self.serving().iter().filter(|state| state.told.weight > 0);
        let oldest = self.serving().iter().filter_map(|state| self.requests.oldest(&state.waiting)).min();
        let none = Load {
            endpoints: weighted().count(),
            response_time: self.response_time(now),
            waiting: oldest.map(|began| now.saturating_sub(began)),
            ..Load::default()
        };
        weighted().filter(|state| state.is_available(now)).fold(none, |load, state| Load {
            available: load.available + 1,
            in_flight: load.in_flight + u64::from(state.in_flight),
            capacity: load.capacity + u64::from(state.told.most_in_flight),
            ..load
        })
    }

    fn response_time(&self, now: Duration) -> Option<Duration> {
        let forgotten = self.settings.decay.saturating_mul(FORGOTTEN);
        let is_known = self.answered.is_some_and(|answered| now.saturating_sub(answered) < forgotten);
        self.median.filter(|_| is_known).and_then(|(median, _)| seconds(median))
    }
}

fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}
