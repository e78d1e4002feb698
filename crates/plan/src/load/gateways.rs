//! What gateways tell of the requests they send, for replicas that do not tell their load themselves.

use jiff::Timestamp;

use super::Load;

/// The requests of all gateways to the replicas of one ModelDeployment in one cluster, as they are now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Requests {
    /// Those that have not ended.
    pub in_flight: f64,
    /// Mean time to the first byte of an answer in seconds, if there was one of late.
    pub first_byte: Option<f64>,
}

impl Requests {
    /// The load of `ready` replicas by their own report and, for what that does not tell, by these requests. Their own figures come
    /// first: they know also of requests that pass no gateway, and not of the way.
    ///
    /// Only what placement compares is told: nothing of queues, counts and errors.
    #[must_use]
    pub fn complete(&self, own: Option<Load>, ready: i32, now: Timestamp) -> Option<Load> {
        if ready <= 0 {
            return own;
        }
        let own = own.filter(|own| own.is_fresh(now)).unwrap_or(Load {
            observed: now,
            reporting: ready,
            in_flight: None,
            queued: None,
            time_to_first_token: None,
            requests: None,
            error_ratio: None,
        });
        // The sums of a load are those of the replicas that reported.
        let reporting = f64::from(own.reporting.clamp(0, ready)) / f64::from(ready);
        Some(Load {
            in_flight: own.in_flight.or(Some(self.in_flight * reporting)),
            time_to_first_token: own.time_to_first_token.or(self.first_byte),
            ..own
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number of seconds")
    }

    fn own(reporting: i32, in_flight: Option<f64>, first: Option<f64>) -> Load {
        Load {
            observed: at(90),
            reporting,
            in_flight,
            queued: Some(3.0),
            time_to_first_token: first,
            requests: None,
            error_ratio: None,
        }
    }

    #[test]
    fn what_replicas_tell_themselves_comes_first() {
        let requests = Requests { in_flight: 8.0, first_byte: Some(0.4) };
        for (own, in_flight, first) in [
            (own(2, Some(5.0), Some(0.1)), 5.0, 0.1),
            (own(2, None, Some(0.1)), 4.0, 0.1),
            (own(4, None, None), 8.0, 0.4),
            (own(9, None, None), 8.0, 0.4),
            (own(2, Some(5.0), None), 5.0, 0.4),
        ] {
            let load = requests.complete(Some(own.clone()), 4, at(100)).expect("a load");
            let expected = Load { in_flight: Some(in_flight), time_to_first_token: Some(first), ..own };
            assert_eq!(load, expected);
        }
    }

    #[test]
    fn who_tells_nothing_or_told_it_long_ago_goes_by_the_gateways() {
        let requests = Requests { in_flight: 8.0, first_byte: None };
        for silent in [None, Some(own(2, Some(5.0), Some(0.1)))] {
            let load = requests.complete(silent, 4, at(151)).expect("a load");
            assert_eq!((load.observed, load.reporting, load.in_flight), (at(151), 4, Some(8.0)));
            assert_eq!((load.queued, load.time_to_first_token, load.requests), (None, None, None));
        }
        assert_eq!(requests.complete(None, 0, at(100)), None, "nobody is there whom it could be of");
    }
}
