//! What of the gateways' reports statuses show: what lasts, and not every change. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::reports::{Sum, Sums};

/// Figures that change are shown anew so often at most.
const PACE: SignedDuration = SignedDuration::from_mins(1);
/// The share of a figure by which it must have changed.
const CHANGE: f64 = 0.25;
/// The number of requests, and of milliseconds, by which it must have changed as well.
const FEW_REQUESTS: i64 = 2;
const FEW_MILLISECONDS: i64 = 10;

/// The figures of one cluster, as a status shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ClusterFigures {
    pub(crate) in_flight: i64,
    pub(crate) response_milliseconds: Option<i64>,
    /// The weight of the response time in a mean.
    pub(crate) answers: f64,
}

/// What is shown, by ModelDeployment (`namespace/name`) and cluster.
pub(crate) type ShownModels = BTreeMap<String, BTreeMap<String, ClusterFigures>>;

/// What is shown, and since when.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) models: ShownModels,
    changed: Option<Timestamp>,
}

impl Shown {
    /// Shows what gateways say now, where that differs enough; names the ModelDeployments that are shown otherwise than before.
    ///
    /// What nobody said before, and what nobody says any more, is shown at once.
    pub(super) fn settle(&mut self, sums: &Sums, now: Timestamp) -> BTreeSet<String> {
        let is_time = self.changed.is_none_or(|changed| now.duration_since(changed) >= PACE);
        let mut changed = BTreeSet::new();
        let before = std::mem::take(&mut self.models);
        for (model, clusters) in sums {
            let known = before.get(model);
            let look = |(cluster, sum): (&String, &Sum)| {
                let (now, known) = (figures(sum), known.and_then(|known| known.get(cluster)));
                let shown = match known {
                    Some(known) if begins_or_ends(known, &now) || is_time && differs(known, &now) => now,
                    Some(known) => *known,
                    None => now,
                };
                (cluster.clone(), shown)
            };
            let shown: BTreeMap<_, _> = clusters.iter().map(look).collect();
            if known != Some(&shown) {
                changed.insert(model.clone());
            }
            self.models.insert(model.clone(), shown);
        }
        changed.extend(before.into_keys().filter(|model| !sums.contains_key(model)));
        if !changed.is_empty() {
            self.changed = Some(now);
        }
        changed
    }
}

#[allow(clippy::cast_possible_truncation, reason = "reports are bounded")]
fn figures(sum: &Sum) -> ClusterFigures {
    ClusterFigures {
        in_flight: sum.requests.in_flight.round() as i64,
        response_milliseconds: sum.requests.first_byte.map(|seconds| (seconds * 1000.0).round() as i64),
        answers: sum.answers,
    }
}

fn begins_or_ends(shown: &ClusterFigures, now: &ClusterFigures) -> bool {
    shown.response_milliseconds.is_some() != now.response_milliseconds.is_some()
}

fn differs(shown: &ClusterFigures, now: &ClusterFigures) -> bool {
    let milliseconds = shown.response_milliseconds.zip(now.response_milliseconds);
    requests_differ(shown.in_flight, now.in_flight)
        || milliseconds.is_some_and(|(shown, now)| milliseconds_differ(shown, now))
}

/// Whether numbers of requests in flight are worth a write of a status.
pub(crate) fn requests_differ(shown: i64, now: i64) -> bool {
    is_far(shown, now, FEW_REQUESTS)
}

/// Whether response times are.
pub(crate) fn milliseconds_differ(shown: i64, now: i64) -> bool {
    is_far(shown, now, FEW_MILLISECONDS)
}

#[allow(clippy::cast_precision_loss, reason = "nobody has 2^52 requests in flight")]
fn is_far(shown: i64, now: i64, few: i64) -> bool {
    let change = shown.abs_diff(now) as f64;
    change > few as f64 && change > CHANGE * shown as f64
}

#[cfg(test)]
mod tests {
    use skyfleet_plan::load::Requests;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number of seconds")
    }

    fn sums(in_flight: f64, milliseconds: Option<f64>) -> Sums {
        let requests = Requests { in_flight, first_byte: milliseconds.map(|milliseconds| milliseconds / 1000.0) };
        [("ml/m".to_owned(), [("a".to_owned(), Sum { requests, ..Sum::default() })].into())].into()
    }

    #[test]
    fn only_what_changed_much_is_shown_and_not_more_than_once_a_minute() {
        let mut shown = Shown::default();
        let mut look = |second, in_flight, milliseconds| {
            let changed = shown.settle(&sums(in_flight, milliseconds), at(second));
            let figures = shown.models["ml/m"]["a"];
            (!changed.is_empty(), figures.in_flight, figures.response_milliseconds)
        };
        assert_eq!(look(0, 10.0, None), (true, 10, None));
        assert_eq!(look(10, 40.0, None), (false, 10, None), "too soon");
        assert_eq!(look(20, 11.0, Some(99.6)), (true, 11, Some(100)), "answers begin");
        assert_eq!(look(79, 40.0, Some(400.0)), (false, 11, Some(100)), "too soon after that");
        assert_eq!(look(80, 40.0, Some(100.0)), (true, 40, Some(100)));
        assert_eq!(look(200, 31.0, Some(125.0)), (false, 40, Some(100)), "a quarter is not enough");
        assert_eq!(look(200, 40.0, Some(126.0)), (true, 40, Some(126)));
        assert_eq!(look(300, 0.4, Some(130.0)), (true, 0, Some(130)));
        assert_eq!(look(400, 2.0, Some(132.0)), (false, 0, Some(130)), "two are few");
        assert_eq!(look(500, 3.0, None), (true, 3, None));
    }

    #[test]
    fn what_nobody_says_any_more_goes_at_once() {
        let mut shown = Shown::default();
        assert_eq!(shown.settle(&sums(1.0, None), at(0)).len(), 1);
        assert_eq!(shown.settle(&Sums::new(), at(1)).into_iter().collect::<Vec<_>>(), ["ml/m"]);
        assert!(shown.models.is_empty() && shown.settle(&Sums::new(), at(99)).is_empty());
        assert_eq!(shown.settle(&sums(5.0, None), at(100)).len(), 1);
        let elsewhere: Sums = [("ml/m".to_owned(), [("b".to_owned(), Sum::default())].into())].into();
        assert_eq!(shown.settle(&elsewhere, at(101)).len(), 1);
        assert_eq!(shown.models["ml/m"].keys().collect::<Vec<_>>(), ["b"]);
    }
}
