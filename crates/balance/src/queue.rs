//! Requests that wait since all replicas are full: a bounded number of them, each until its deadline, and each client in its turn. Who
//! sends a thousand requests at once waits behind nobody but himself, and nobody else waits behind him.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Of all clients.
    pub most: usize,
    /// Of one client, so that one cannot fill it alone.
    pub most_of_one: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { most: 1000, most_of_one: 250 }
    }
}

/// Why a request may not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Of all clients too many wait.
    #[error("too many requests wait for a replica already")]
    Full,
    /// Of this client too many wait.
    #[error("too many requests of this client wait for a replica already")]
    ClientFull,
    /// It would be too late already.
    #[error("its deadline is over")]
    Late,
}

/// A place in the queue. The caller keeps beside it whom to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u64);

#[derive(Debug)]
struct Line {
    /// When it is this client's turn: the smallest number is next.
    turn: u64,
    /// The oldest is first.
    places: BTreeSet<Place>,
}

/// Requests that wait, of clients `C`.
#[derive(Debug)]
pub struct Queue<C> {
    settings: Settings,
    waiting: BTreeMap<Place, (C, Duration)>,
    lines: BTreeMap<C, Line>,
    turns: BTreeMap<u64, C>,
    deadlines: BTreeSet<(Duration, Place)>,
    /// Places and turns that there have ever been.
    numbers: u64,
}

impl<C: Clone + Ord> Queue<C> {
    /// Nobody waits.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            waiting: BTreeMap::new(),
            lines: BTreeMap::new(),
            turns: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            numbers: 0,
        }
    }

    /// Requests that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A request waits until this deadline at most.
    ///
    /// # Errors
    /// When it may not.
    pub fn admit(&mut self, client: &C, deadline: Duration, now: Duration) -> Result<Place, Refusal> {
        let of_one = self.lines.get(client).map_or(0, |line| line.places.len());
        if deadline <= now {
            return Err(Refusal::Late);
        }
        if self.waiting.len() >= self.settings.most {
            return Err(Refusal::Full);
        }
        if of_one >= self.settings.most_of_one {
            return Err(Refusal::ClientFull);
        }
        self.numbers += 1;
        let (place, turn) = (Place(self.numbers), self.numbers);
        self.waiting.insert(place, (client.clone(), deadline));
        self.deadlines.insert((deadline, place));
        if let Some(line) = self.lines.get_mut(client) {
            line.places.insert(place);
        } else {
            self.lines.insert(client.clone(), Line { turn, places: [place].into() });
            self.turns.insert(turn, client.clone());
        }
        Ok(place)
    }

    /// There is room for a request: whose it is. It waits no more. What is past its deadline is passed over; [`expire`](Self::expire)
    /// finds it.
    pub fn next(&mut self, now: Duration) -> Option<Place> {
        let is_in_time = |place: &&Place| self.waiting.get(place).is_some_and(|(_, deadline)| *deadline > now);
        let of_client = |client| self.lines.get(client).and_then(|line| line.places.iter().find(is_in_time));
        let place = *self.turns.values().find_map(of_client)?;
        let (client, _) = self.waiting.get(&place)?;
        let client = client.clone();
        self.remove(place);
        self.end_turn(&client);
        Some(place)
    }

    /// The one whose deadline was first, if that is over; it waits no more.
    pub fn expire(&mut self, now: Duration) -> Option<Place> {
        let (_, place) = *self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        self.remove(place);
        Some(place)
    }

    /// When to look for expired ones next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// It waits no more, for instance since its client is gone. Returns whether it did.
    pub fn remove(&mut self, place: Place) -> bool {
        let Some((client, deadline)) = self.waiting.remove(&place) else { return false };
        self.deadlines.remove(&(deadline, place));
        if let Some(line) = self.lines.get_mut(&client) {
            line.places.remove(&place);
            if line.places.is_empty() {
                self.turns.remove(&line.turn);
                self.lines.remove(&client);
            }
        }
        true
    }

    /// The others come before this client is served again.
    fn end_turn(&mut self, client: &C) {
        if let Some(line) = self.lines.get_mut(client) {
            self.numbers += 1;
            self.turns.remove(&line.turn);
            self.turns.insert(self.numbers, client.clone());
            line.turn = self.numbers;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn queue(most: usize, most_of_one: usize) -> Queue<char> {
        Queue::new(Settings { most, most_of_one })
    }

    /// These clients' requests come one after the other; in which order they are served.
    fn served(clients: &str) -> String {
        let mut queue = queue(100, 100);
        let places: BTreeMap<_, _> = clients
            .chars()
            .map(|client| (queue.admit(&client, at(10), at(0)).expect("there is room"), client))
            .collect();
        std::iter::from_fn(|| queue.next(at(1))).map(|place| places[&place]).collect()
    }

    #[test]
    fn clients_take_turns_and_each_is_served_in_order() {
        for (clients, expected) in
            [("", ""), ("aaa", "aaa"), ("aaaabc", "abcaaa"), ("aabbcc", "abcabc"), ("abab", "abab")]
        {
            assert_eq!(served(clients), expected);
        }
        let mut queue = queue(100, 100);
        let places: Vec<_> = (0..3).map(|_| queue.admit(&'a', at(10), at(0)).expect("there is room")).collect();
        assert!(std::iter::from_fn(|| queue.next(at(1))).eq(places));
    }

    #[test]
    fn who_may_wait() {
        let mut queue = queue(3, 2);
        assert_eq!(queue.admit(&'a', at(1), at(1)), Err(Refusal::Late));
        assert!(queue.admit(&'a', at(9), at(1)).is_ok() && queue.admit(&'a', at(9), at(1)).is_ok());
        assert_eq!(queue.admit(&'a', at(9), at(1)), Err(Refusal::ClientFull));
        let last = queue.admit(&'b', at(9), at(1)).expect("there is room");
        assert_eq!(queue.admit(&'c', at(9), at(1)), Err(Refusal::Full));
        assert!(queue.remove(last) && !queue.remove(last));
        assert!(queue.admit(&'c', at(9), at(1)).is_ok());
    }

    #[test]
    fn what_is_late_is_passed_over_and_found() {
        let mut queue = queue(9, 9);
        let late = queue.admit(&'a', at(5), at(0)).expect("there is room");
        let later = queue.admit(&'b', at(3), at(0)).expect("there is room");
        let in_time = queue.admit(&'a', at(9), at(0)).expect("there is room");
        assert_eq!((queue.next_deadline(), queue.expire(at(2))), (Some(at(3)), None));
        assert_eq!((queue.next(at(5)), queue.next(at(5))), (Some(in_time), None));
        assert_eq!((queue.expire(at(5)), queue.expire(at(5)), queue.expire(at(5))), (Some(later), Some(late), None));
        assert!(queue.is_empty() && queue.next_deadline().is_none());
    }

    proptest! {
        /// Each place leaves once, one way or another, and the order of each client is kept.
        #[test]
        fn nothing_is_lost_or_served_twice(steps in prop::collection::vec((0..4_u8, 0..4_u8, 0..10_u64), 1..200)) {
            let mut queue = queue(20, 8);
            let mut waiting: BTreeMap<Place, (char, u64)> = BTreeMap::new();
            for (now, (step, client, more)) in steps.into_iter().enumerate() {
                let now = now as u64;
                let client = char::from(b'a' + client);
                match step {
                    0 | 1 => match queue.admit(&client, at(now + more), at(now)) {
                        Ok(place) => drop(waiting.insert(place, (client, now + more))),
                        Err(Refusal::Late) => prop_assert_eq!(more, 0),
                        Err(Refusal::Full) => prop_assert_eq!(waiting.len(), 20),
                        Err(Refusal::ClientFull) => prop_assert!(waiting.values().filter(|(of, _)| *of == client).count() >= 8),
                    },
                    2 => {
                        let next = queue.next(at(now));
                        let served = next.and_then(|place| waiting.remove(&place));
                        prop_assert_eq!(served.is_some(), next.is_some());
                        if let (Some(place), Some((client, deadline))) = (next, served) {
                            prop_assert!(deadline > now);
                            let is_earlier = |(other, (of, deadline)): (&Place, &(char, u64))| *of == client && *deadline > now && *other < place;
                            prop_assert!(!waiting.iter().any(is_earlier));
                        } else {
                            prop_assert!(waiting.values().all(|(_, deadline)| *deadline <= now));
                        }
                    }
                    _ => while let Some(place) = queue.expire(at(now)) {
                        prop_assert!(waiting.remove(&place).is_some_and(|(_, deadline)| deadline <= now));
                    },
                }
                prop_assert_eq!(queue.len(), waiting.len());
            }
        }
    }
}
