//! From the pods' reports to the load: gauges are added up, counters are compared with the same pod's report before.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::reading::Part;
use super::report::{Report, Series};
use super::{FRESH, Load};

/// The last report of each pod of a ModelDeployment in one cluster.
#[derive(Clone, Debug, Default)]
pub struct History {
    pods: BTreeMap<String, (Timestamp, Report)>,
}

impl History {
    /// Takes what pods report now, by something that no two pods share, and gives the load; `None` when none reported.
    ///
    /// A counter counts from the same pod's report before, within [`FRESH`]; a pod without one says nothing of what was
    /// since. A counter that went back was started anew, and so was one that was not there: both count from zero.
    pub fn observe(&mut self, reports: BTreeMap<String, Report>, observed: Timestamp) -> Option<Load> {
        self.pods.retain(|_, (at, _)| observed.duration_since(*at) <= FRESH);
        let load = (!reports.is_empty()).then(|| self.load(&reports, observed));
        self.pods.extend(reports.into_iter().map(|(pod, report)| (pod, (observed, report))));
        load
    }

    fn load(&self, reports: &BTreeMap<String, Report>, observed: Timestamp) -> Load {
        let mut since = Since::default();
        for (pod, report) in reports {
            if let Some((_, before)) = self.pods.get(pod) {
                since.add(before, report);
            }
        }
        Load {
            observed,
            reporting: i32::try_from(reports.len()).unwrap_or(i32::MAX),
            in_flight: gauge(reports, Part::InFlight),
            queued: gauge(reports, Part::Queued),
            time_to_first_token: since.time_to_first_token(),
            requests: since.requests,
            error_ratio: since.error_ratio(),
        }
    }
}

/// The sum over all pods. One whose program shows the gauge only once it had a request has none.
fn gauge(reports: &BTreeMap<String, Report>, part: Part) -> Option<f64> {
    let known: Vec<&Series> = reports.values().filter_map(|report| report.series(part)).collect();
    (!known.is_empty()).then(|| known.into_iter().flat_map(BTreeMap::values).sum())
}

/// What happened since the reports before, in all pods that have one.
#[derive(Default)]
struct Since {
    requests: Option<f64>,
    /// Of pods that count requests too, and that were asked for errors.
    errors: Option<f64>,
    requests_with_errors: f64,
    first_tokens: f64,
    first_token_seconds: f64,
}

impl Since {
    fn add(&mut self, before: &Report, now: &Report) {
        if let Some(requests) = increase(before, now, Part::Requests) {
            *self.requests.get_or_insert_default() += requests;
            if now.asked(Part::Errors) {
                // Most libraries show a counter first when it counts: a program without failures has none to show.
                *self.errors.get_or_insert_default() += increase(before, now, Part::Errors).unwrap_or(0.0);
                self.requests_with_errors += requests;
            }
        }
        self.add_first_tokens(before, now);
    }

    fn add_first_tokens(&mut self, before: &Report, now: &Report) {
        let (Some(counts), Some(sums)) = (now.series(Part::FirstTokenCount), now.series(Part::FirstTokenSum)) else {
            return;
        };
        for (key, count) in counts {
            let Some(sum) = sums.get(key) else { continue };
            let earlier = |part| before.series(part).and_then(|series| series.get(key)).copied();
            let (count_before, sum_before) = earlier(Part::FirstTokenCount)
                .zip(earlier(Part::FirstTokenSum))
                .filter(|(count_before, sum_before)| count_before <= count && sum_before <= sum)
                .unwrap_or_default();
            self.first_tokens += count - count_before;
            self.first_token_seconds += sum - sum_before;
        }
    }

    fn time_to_first_token(&self) -> Option<f64> {
        (self.first_tokens > 0.0).then(|| self.first_token_seconds / self.first_tokens)
    }

    fn error_ratio(&self) -> Option<f64> {
        let errors = self.errors.filter(|_| self.requests_with_errors > 0.0)?;
        Some((errors / self.requests_with_errors).min(1.0))
    }
}

/// By how much the counters of a part grew; `None` where the pod shows none.
fn increase(before: &Report, now: &Report, part: Part) -> Option<f64> {
    let before = before.series(part);
    let grown = |(key, value): (&String, &f64)| match before.and_then(|before| before.get(key)) {
        Some(earlier) if earlier <= value => value - earlier,
        _ => *value,
    };
    Some(now.series(part)?.iter().map(grown).sum())
}
