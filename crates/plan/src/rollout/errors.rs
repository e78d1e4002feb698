//! The gate of errors: which share of its requests a cluster fails.
//!
//! A rollback is final until the spec changes, so that chance must not cause one, and a report comes every few seconds: a
//! plain threshold would be crossed by chance sooner or later. Hence two steps:
//! * a share above the maximum, of at least [`SAMPLE`] requests, **holds** the wave: it goes on only once the share is no
//!   longer above, and fails by the deadline if that does not come;
//! * one that is above it beyond chance **fails** the wave at once: by the lower end of Wilson's interval of [`SURE`]
//!   standard deviations. With at most 5 % that is 5 failures of 20 requests, or 14 of 100. A service that fails as many as
//!   it may is failed by one of some 400 reports of 20 requests, and of 2000 of 100; one that fails half as many, hardly ever.
//!
//! What a cluster answered before all had the change says nothing of it: the old revision may be why there is a change.
//! So only reports measured since `readySince` count, and because one may reach back as far as [`FRESH`], it takes so much
//! longer until one can fail the wave. Fewer requests than the sample, no requests, or a runtime that does not count them:
//! there is nothing to judge, and the gate is open.

use jiff::{SignedDuration, Timestamp};

use crate::load::{FRESH, Load};

/// A report of fewer requests says nothing: one failure of them would be several percent.
pub(super) const SAMPLE: f64 = 20.0;

/// How sure the gate is before it fails a wave, in standard deviations.
const SURE: f64 = 4.0;

/// What a cluster's report means for the gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Errors {
    /// Nothing to object to.
    Within,
    /// The report is from before; at this time there is another, or it is stale.
    NotYet(Timestamp),
    /// The share is above the maximum.
    Above,
    /// It is, beyond doubt; so many percent.
    TooMany(f64),
}

/// Judges a cluster whose wave is ready since `ready_since`.
pub(super) fn judge(load: Option<&Load>, max_percent: Option<i32>, ready_since: Timestamp, now: Timestamp) -> Errors {
    let Some((load, max)) = load.filter(|load| load.is_fresh(now)).zip(max_percent) else { return Errors::Within };
    let Some(requests) = load.requests else { return Errors::Within };
    if load.observed < ready_since {
        return Errors::NotYet(later(load.observed, FRESH + SignedDuration::from_secs(1)));
    }
    let (percent, max) = (100.0 * load.error_ratio.unwrap_or(0.0), f64::from(max));
    if requests < SAMPLE || percent <= max {
        Errors::Within
    } else if load.observed >= later(ready_since, FRESH) && 100.0 * at_least(percent / 100.0, requests) > max {
        Errors::TooMany(percent)
    } else {
        Errors::Above
    }
}

/// The lower end of Wilson's score interval: what the true share is at least, when so much of so many was seen.
fn at_least(ratio: f64, of: f64) -> f64 {
    let square = SURE * SURE;
    let spread = SURE * (ratio * (1.0 - ratio) / of + square / (4.0 * of * of)).max(0.0).sqrt();
    (ratio + square / (2.0 * of) - spread) / (1.0 + square / of)
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn a_report_is_judged_by_size_share_and_time() {
        for (observed, requests, failed, max, wanted) in [
            (100, Some(100.0), 0.0, 5, Errors::Within),
            (100, Some(100.0), 5.0, 5, Errors::Within),
            (100, Some(100.0), 6.0, 5, Errors::Above),
            (100, Some(100.0), 13.0, 5, Errors::Above),
            (100, Some(100.0), 14.0, 5, Errors::TooMany(14.0)),
            (100, Some(1000.0), 80.0, 5, Errors::TooMany(8.0)),
            (100, Some(20.0), 4.0, 5, Errors::Above),
            (100, Some(20.0), 5.0, 5, Errors::TooMany(25.0)),
            (100, Some(20.0), 1.0, 0, Errors::TooMany(5.0)),
            // Too few to judge, none at all, not counted.
            (100, Some(19.0), 19.0, 5, Errors::Within),
            (100, Some(0.0), 0.0, 0, Errors::Within),
            (100, None, 50.0, 5, Errors::Within),
            // It may reach back to the old revision.
            (59, Some(100.0), 50.0, 5, Errors::Above),
            (60, Some(100.0), 50.0, 5, Errors::TooMany(50.0)),
            (0, Some(100.0), 50.0, 5, Errors::Above),
        ] {
            let ratio = requests.filter(|requests| *requests > 0.0).map(|requests| failed / requests);
            let load = load(observed, requests, ratio);
            let judged = match judge(Some(&load), Some(max), at(0), at(observed)) {
                Errors::TooMany(percent) => Errors::TooMany(percent.round()),
                other => other,
            };
            assert_eq!(judged, wanted, "{failed} of {requests:?}");
        }
    }

    #[test]
    fn what_is_from_before_is_waited_out() {
        let load = load(-1, Some(100.0), Some(0.5));
        assert_eq!(judge(Some(&load), Some(5), at(0), at(10)), Errors::NotYet(at(60)));
        assert_eq!(judge(Some(&load), Some(5), at(0), at(60)), Errors::Within, "it is stale");
        assert_eq!(judge(Some(&load), None, at(0), at(10)), Errors::Within, "nobody asked");
        assert_eq!(judge(None, Some(5), at(0), at(10)), Errors::Within, "no report");
    }

    fn load(observed: i64, requests: Option<f64>, error_ratio: Option<f64>) -> Load {
        Load {
            observed: at(observed),
            reporting: 1,
            in_flight: None,
            queued: None,
            time_to_first_token: None,
            requests,
            error_ratio,
        }
    }
}
