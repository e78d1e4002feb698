//! What gateways tell of the requests they send: shown in the statuses of ModelRoutes, and used where a strategy goes by load and the
//! replicas do not tell theirs.
//!
//! Only the operator's own namespace is looked at: who may write there is trusted with more than this.

mod follow;
mod reports;
mod shown;
mod wake;

pub(super) use shown::{ClusterFigures, ShownModels, milliseconds_differ, requests_differ};

pub(super) use follow::{Concerned, follow};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::Event;
use skyfleet_plan::load::Requests;

use reports::{Reports, Sums};
use shown::Shown;

/// What gateways have told.
#[derive(Default)]
pub(crate) struct GatewayReports(Mutex<State>);

#[derive(Default)]
struct State {
    reports: Reports,
    sums: Sums,
    shown: Shown,
}

/// What a look has found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Look {
    /// The first one at all reports: what statuses say is of the time before.
    is_first: bool,
    /// ModelDeployments that are shown otherwise than before.
    changed: BTreeSet<String>,
    /// Gateways that are believed.
    gateways: usize,
}

impl GatewayReports {
    /// The requests to a ModelDeployment's replicas, by cluster. A cluster that no gateway tells of is not there.
    pub(super) fn requests(&self, namespace: &str, name: &str) -> BTreeMap<String, Requests> {
        let state = self.lock();
        let clusters = state.sums.get(&format!("{namespace}/{name}")).into_iter().flatten();
        clusters.map(|(cluster, sum)| (cluster.clone(), sum.requests)).collect()
    }

    /// What a status shows of these ModelDeployments of a namespace; `None` as long as it is not known who tells what.
    pub(super) fn shown<'a>(&self, namespace: &str, names: impl Iterator<Item = &'a str>) -> Option<ShownModels> {
        let state = self.lock();
        let keys = names.map(|name| format!("{namespace}/{name}"));
        let shown = || keys.filter_map(|key| state.shown.models.get_key_value(&key));
        state.reports.is_filled().then(|| shown().map(|(key, of)| (key.clone(), of.clone())).collect())
    }

    fn take(&self, event: Event<ConfigMap>, now: Timestamp) {
        if let Some(complaint) = self.lock().reports.take(event, now) {
            tracing::warn!(complaint, "a gateway's report is left out");
        }
    }

    fn look(&self, was_filled: bool, now: Timestamp) -> Look {
        let State { reports, sums, shown } = &mut *self.lock();
        if !reports.is_filled() {
            return Look::default();
        }
        *sums = reports.sums(now);
        Look { is_first: !was_filled, changed: shown.settle(sums, now), gateways: reports.count(now) }
    }

    /// ModelDeployments that had requests and no replica for them, and when.
    fn requested(&self, now: Timestamp) -> BTreeMap<String, Timestamp> {
        self.lock().reports.requested(now)
    }

    fn is_filled(&self) -> bool {
        self.lock().reports.is_filled()
    }

    fn dead(&self, now: Timestamp) -> Vec<(String, Option<String>)> {
        self.lock().reports.dead(now)
    }

    // A panic while the lock is held can't leave much half-changed: the next look makes sums and what is shown anew.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number of seconds")
    }

    fn report(name: &str, in_flight: f64) -> ConfigMap {
        let figures = json!({"inFlight": in_flight, "answersPerSecond": 1, "responseMilliseconds": 250});
        let content =
            json!({"at": at(0).to_string(), "models": {"ml/m": {"aws-1": figures}, "ml/n": {"gcp-1": figures}}});
        let metadata = json!({"name": name, "resourceVersion": in_flight.to_string()});
        serde_json::from_value(json!({"metadata": metadata, "data": {"v1": content.to_string()}})).expect("a ConfigMap")
    }

    fn names_of(look: &Look) -> Vec<&str> {
        look.changed.iter().map(String::as_str).collect()
    }

    #[test]
    fn reports_become_what_is_shown_and_placed_by() {
        let reports = GatewayReports::default();
        assert_eq!(reports.look(false, at(0)), Look::default(), "nothing is known before all are there");
        assert_eq!(reports.shown("ml", ["m"].into_iter()), None);
        for event in [Event::Init, Event::InitApply(report("one", 3.0)), Event::InitDone] {
            reports.take(event, at(0));
        }
        let look = reports.look(false, at(0));
        assert_eq!((look.is_first, names_of(&look), look.gateways), (true, vec!["ml/m", "ml/n"], 1));
        reports.take(Event::Apply(report("two", 4.0)), at(10));
        let look = reports.look(true, at(10));
        assert_eq!((look.is_first, names_of(&look), look.gateways), (false, vec![], 2));
        let requests = Requests { in_flight: 7.0, first_byte: Some(0.25) };
        assert_eq!(
            reports.requests("ml", "m"),
            [("aws-1".to_owned(), requests)].into(),
            "placement goes by what is so"
        );
        let in_flight = |shown: &ShownModels| shown["ml/m"]["aws-1"].in_flight;
        let shown = reports.shown("ml", ["m", "none"].into_iter()).expect("it is known");
        assert_eq!((in_flight(&shown), shown.len()), (3, 1), "a status by what lasts");
        assert_eq!(names_of(&reports.look(true, at(60))), ["ml/m", "ml/n"]);
        assert_eq!(reports.shown("ml", ["m"].into_iter()).map(|shown| in_flight(&shown)), Some(7));
        assert_eq!(reports.requests("other", "m"), BTreeMap::new());
        for name in ["one", "two"] {
            reports.take(Event::Delete(report(name, 0.0)), at(61));
        }
        let look = reports.look(true, at(61));
        assert_eq!((names_of(&look), look.gateways), (vec!["ml/m", "ml/n"], 0));
        assert_eq!(reports.shown("ml", ["m"].into_iter()), Some(ShownModels::new()));
    }
}
