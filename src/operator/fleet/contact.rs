//! What probing a member has shown: pure, fed with the outcome of each probe.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use super::inventory::Inventory;

/// So many probes in a row must fail before a member that answered counts as unreachable: one lost packet is no outage.
const FAILURES_TO_LOSE: u32 = 3;
/// Round trips that the median is taken of.
const ROUND_TRIPS: usize = 9;

/// How a probe ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// It answered and let the hub look.
    Answered { version: String, round_trip: Duration },
    /// It answered that it does not accept the credentials.
    Refused { round_trip: Duration, message: String },
    /// It accepted the credentials, which may not do what is needed.
    Denied { round_trip: Duration, message: String },
    /// No answer, or none of an API server.
    Failed { message: String },
}

/// Whether the credentials are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    #[default]
    Unknown,
    Granted,
    Refused(String),
    Denied(String),
}

/// What is known of a member from probing it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contact {
    failures: u32,
    error: Option<String>,
    reachable: Option<bool>,
    access: Access,
    version: Option<String>,
    last_answer: Option<Timestamp>,
    round_trips: VecDeque<Duration>,
    reported_round_trip: Option<i32>,
    inventory: Option<Inventory>,
}

/// What others are told: equal while nothing worth telling changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// `None` until the first probe ended.
    pub(crate) reachable: Option<bool>,
    pub(crate) access: Access,
    /// Why it does not answer.
    pub(crate) error: Option<String>,
    pub(crate) version: Option<String>,
    /// While it does not answer: when it last did.
    pub(crate) last_contact: Option<Timestamp>,
    pub(crate) round_trip_milliseconds: Option<i32>,
    pub(crate) inventory: Option<Inventory>,
}

impl Report {
    /// Whether replicas can be placed and changed there.
    pub(crate) fn usable(&self) -> bool {
        self.reachable == Some(true) && self.access == Access::Granted
    }
}

impl Contact {
    /// Takes the outcome of a probe.
    pub(crate) fn observe(&mut self, probe: Probe, now: Timestamp) {
        match probe {
            Probe::Failed { message } => self.failed(message),
            Probe::Answered { version, round_trip } => {
                self.version = Some(version);
                self.answered(Access::Granted, round_trip, now);
            }
            Probe::Refused { round_trip, message } => self.answered(Access::Refused(message), round_trip, now),
            Probe::Denied { round_trip, message } => self.answered(Access::Denied(message), round_trip, now),
        }
    }

    /// Takes what was counted in the member.
    pub(crate) fn counted(&mut self, inventory: Inventory) {
        self.inventory = Some(inventory);
    }

    /// The median of the last round trips.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let mut sorted: Vec<_> = self.round_trips.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// What others are told.
    pub(crate) fn report(&self) -> Report {
        let lost = self.reachable == Some(false);
        Report {
            reachable: self.reachable,
            access: self.access.clone(),
            error: self.error.clone().filter(|_| lost),
            version: self.version.clone(),
            last_contact: self.last_answer.filter(|_| lost),
            round_trip_milliseconds: self.reported_round_trip.filter(|_| !lost),
            inventory: self.inventory.clone(),
        }
    }

    fn failed(&mut self, message: String) {
        self.failures += 1;
        self.round_trips.clear();
        // Each attempt words its failure a little differently; the first one stays, or the report would never rest.
        if self.failures == 1 {
            self.error = Some(message);
        }
        if self.reachable.is_none() || self.failures >= FAILURES_TO_LOSE {
            self.reachable = Some(false);
        }
    }

    fn answered(&mut self, access: Access, round_trip: Duration, now: Timestamp) {
        self.failures = 0;
        self.error = None;
        self.reachable = Some(true);
        self.access = access;
        self.last_answer = Some(now);
        self.round_trips.truncate(ROUND_TRIPS - 1);
        self.round_trips.push_front(round_trip);
        self.settle_round_trip();
    }

    /// The reported figure follows the median only when they are far apart, so that noise is not written to the hub.
    fn settle_round_trip(&mut self) {
        // The first ones carry the setting up of connections and tell little of the way.
        let Some(median) = self.round_trip().filter(|_| self.round_trips.len() == ROUND_TRIPS) else { return };
        let rounded = round_up(median);
        let near = self.reported_round_trip.is_some_and(|reported| {
            let (low, high) = (reported.min(rounded), reported.max(rounded));
            high <= low * 4 || high - low <= 50
        });
        if !near {
            self.reported_round_trip = Some(rounded);
        }
    }
}

/// Up to the next of 1, 2, 5, 10, 20, 50, … milliseconds.
fn round_up(time: Duration) -> i32 {
    let milliseconds = i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    let mut decade = 1_i32;
    loop {
        for step in [1, 2, 5] {
            if decade * step >= milliseconds || decade >= 100_000 {
                return decade * step;
            }
        }
        decade *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number of seconds")
    }

    fn answered(milliseconds: u64) -> Probe {
        Probe::Answered { version: "v1.34.4".to_owned(), round_trip: Duration::from_millis(milliseconds) }
    }

    fn failed() -> Probe {
        Probe::Failed { message: "connection refused".to_owned() }
    }

    #[test]
    fn a_member_never_seen_is_lost_at_the_first_failure_and_a_known_one_at_the_third() {
        let mut new = Contact::default();
        assert_eq!(new.report().reachable, None);
        new.observe(failed(), at(1));
        assert_eq!(new.report().reachable, Some(false));

        let mut known = Contact::default();
        known.observe(answered(3), at(1));
        for second in [2, 3] {
            known.observe(failed(), at(second));
            assert_eq!(known.report().reachable, Some(true));
        }
        known.observe(failed(), at(4));
        let report = known.report();
        assert_eq!((report.reachable, report.last_contact), (Some(false), Some(at(1))));
        known.observe(answered(3), at(9));
        assert_eq!((known.report().reachable, known.report().last_contact), (Some(true), None));
    }

    #[test]
    fn the_report_rests_while_a_member_stays_away_or_its_round_trip_only_wobbles() {
        let mut contact = Contact::default();
        contact.observe(answered(3), at(1));
        for second in 2..8 {
            contact.observe(Probe::Failed { message: format!("attempt {second}") }, at(second));
        }
        let lost = contact.report();
        contact.observe(failed(), at(9));
        assert_eq!(contact.report(), lost);

        let mut contact = Contact::default();
        contact.observe(answered(500), at(0));
        assert_eq!(contact.report().round_trip_milliseconds, None);
        for second in 1..10 {
            contact.observe(answered(4), at(second));
        }
        let first = contact.report();
        assert_eq!(first.round_trip_milliseconds, Some(5));
        for second in 10..60 {
            contact.observe(answered(3 + (second % 40)), at(i64::try_from(second).expect("small")));
        }
        assert_eq!(contact.report(), first);
        for second in 60..80 {
            contact.observe(answered(900), at(second));
        }
        assert_eq!(contact.report().round_trip_milliseconds, Some(1000));
    }

    #[test]
    fn refused_and_denied_are_contact_but_not_usable() {
        for (probe, access) in [
            (
                Probe::Refused { round_trip: Duration::ZERO, message: "401".to_owned() },
                Access::Refused("401".to_owned()),
            ),
            (Probe::Denied { round_trip: Duration::ZERO, message: "403".to_owned() }, Access::Denied("403".to_owned())),
        ] {
            let mut contact = Contact::default();
            contact.observe(probe, at(1));
            let report = contact.report();
            assert_eq!((report.reachable, &report.access, report.usable()), (Some(true), &access, false));
        }
    }

    #[test]
    fn round_trips_are_rounded_up_in_steps() {
        for (microseconds, wanted) in
            [(1, 1), (1000, 1), (1001, 2), (4999, 5), (7000, 10), (120_000, 200), (999_000, 1000)]
        {
            assert_eq!(round_up(Duration::from_micros(microseconds)), wanted);
        }
        assert!(round_up(Duration::from_secs(1_000_000)) > 0);
    }
}
