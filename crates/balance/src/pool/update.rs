//! Endpoints come, stay and go.

use std::collections::BTreeMap;
use std::time::Duration;

use super::endpoint::State;
use super::{Endpoint, Pool};

impl<K: Clone + Ord> Pool<K> {
    /// These are the endpoints now; of several with one key the last counts. The order does not matter.
    pub fn update(&mut self, endpoints: impl IntoIterator<Item = Endpoint<K>>, now: Duration, rng: &mut fastrand::Rng) {
        let told: BTreeMap<_, _> = endpoints.into_iter().map(|endpoint| (endpoint.key.clone(), endpoint)).collect();
        let before = std::mem::take(&mut self.endpoints).into_iter().enumerate();
        let mut known: BTreeMap<_, _> = before.map(|(place, state)| (state.told.key.clone(), (place, state))).collect();
        let is_first = known.is_empty();
        let mut places = vec![0; known.len()];
        for (key, endpoint) in told {
            let state = if let Some((place, state)) = known.remove(&key) {
                move_to(&mut places, place, self.endpoints.len());
                State { told: endpoint, ..state }
            } else {
                self.numbers += 1;
                // Where all are new, none is colder than the others.
                State::new(endpoint, self.numbers, (!is_first).then_some(now))
            };
            self.endpoints.push(state);
        }
        self.serving = self.endpoints.len();
        for (place, state) in known.into_values().filter(|(_, state)| state.in_flight > 0) {
            move_to(&mut places, place, self.endpoints.len());
            self.endpoints.push(state);
        }
        self.requests.move_endpoints(|place| places.get(place).copied().unwrap_or(place));
        self.heaviest = self.serving().iter().map(|state| f64::from(state.told.weight)).fold(0.0, f64::max);
        if is_first {
            self.enter_cycle(now, rng);
        }
    }
}

fn move_to(places: &mut [usize], from: usize, to: usize) {
    if let Some(place) = places.get_mut(from) {
        *place = to;
    }
}
