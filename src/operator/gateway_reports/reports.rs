//! The reports of gateways as the watch shows them: who is believed, and what they say together. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use skyfleet_plan::load::Requests;

use crate::gateway::report::{Content, Figures, VERSION};

/// A gateway renews its report every minute. One that has not for so long is gone, or cannot reach the hub.
const BELIEVED: SignedDuration = SignedDuration::from_mins(3);
/// A report that is older is deleted: its gateway has died.
const KEPT: SignedDuration = SignedDuration::from_mins(10);
/// No gateway has more of anything.
const MOST: f64 = 1e9;
/// What a gateway that got no answer in the last seconds has to say about response times, beside one that got some.
const LEAST_WEIGHT: f64 = 0.001;

/// What all gateways say of one ModelDeployment in one cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sum {
    pub(super) requests: Requests,
    /// Answers a second.
    pub(super) answers: f64,
    /// The weight of the response time.
    pub(super) weight: f64,
}

/// By ModelDeployment (`namespace/name`), and by cluster.
pub(super) type Sums = BTreeMap<String, BTreeMap<String, Sum>>;

/// The reports.
#[derive(Default)]
pub(super) struct Reports {
    known: BTreeMap<String, Report>,
    /// Those that a new list has named so far.
    listed: Option<BTreeMap<String, Report>>,
    is_filled: bool,
}

#[derive(Clone)]
struct Report {
    version: Option<String>,
    /// When it was last renewed: by this operator's clock, but for those it finds when it starts.
    heard: Timestamp,
    /// `None` if it cannot be read.
    content: Option<Content>,
}

impl Reports {
    /// Takes what the watch shows; gives what is to be said of a report that cannot be read, once.
    pub(super) fn take(&mut self, event: Event<ConfigMap>, now: Timestamp) -> Option<String> {
        match event {
            Event::Init => self.listed = Some(BTreeMap::new()),
            Event::InitApply(object) => {
                let (report, complaint) = self.read(&object, now);
                self.listed.get_or_insert_default().insert(object.name_any(), report);
                return complaint;
            }
            Event::InitDone => {
                self.known = self.listed.take().unwrap_or_default();
                self.is_filled = true;
            }
            Event::Apply(object) => {
                let (report, complaint) = self.read(&object, now);
                self.known.insert(object.name_any(), report);
                return complaint;
            }
            Event::Delete(object) => drop(self.known.remove(&object.name_any())),
        }
        None
    }

    /// Whether all that there are were seen.
    pub(super) fn is_filled(&self) -> bool {
        self.is_filled
    }

    fn read(&self, object: &ConfigMap, now: Timestamp) -> (Report, Option<String>) {
        let version = object.resource_version();
        let known = self.known.get(&object.name_any());
        if let Some(known) = known.filter(|known| known.version == version) {
            return (known.clone(), None);
        }
        match content(object) {
            Ok(content) => {
                // Of one that was there before this operator only its gateway knows how old it is.
                let heard = if self.is_filled { now } else { content.at.min(now) };
                (Report { version, heard, content: Some(content) }, None)
            }
            Err(error) => {
                let is_new = known.is_none_or(|known| known.content.is_some());
                (Report { version, heard: now, content: None }, is_new.then_some(error))
            }
        }
    }

    /// And when they were heard.
    fn believed(&self, now: Timestamp) -> impl Iterator<Item = (&Content, Timestamp)> {
        let believed = move |report: &&Report| now.duration_since(report.heard) <= BELIEVED;
        self.known.values().filter(believed).filter_map(|report| Some((report.content.as_ref()?, report.heard)))
    }

    /// How many gateways are believed.
    pub(super) fn count(&self, now: Timestamp) -> usize {
        self.believed(now).count()
    }

    /// What they say together.
    pub(super) fn sums(&self, now: Timestamp) -> Sums {
        let mut sums = Sums::new();
        for (model, clusters) in self.believed(now).flat_map(|(content, _)| &content.models) {
            for (cluster, figures) in clusters.iter().filter(|(_, figures)| is_sane(figures)) {
                sums.entry(model.clone()).or_default().entry(cluster.clone()).or_default().add(figures);
            }
        }
        sums
    }

    /// ModelDeployments that had requests and no replica for them, and when.
    pub(super) fn requested(&self, now: Timestamp) -> BTreeMap<String, Timestamp> {
        let mut all = BTreeMap::new();
        for (content, heard) in self.believed(now) {
            for model in &content.requested {
                let at = all.entry(model.clone()).or_insert(heard);
                *at = heard.max(*at);
            }
        }
        all
    }

    /// The names and versions of reports whose gateways are gone.
    pub(super) fn dead(&self, now: Timestamp) -> Vec<(String, Option<String>)> {
        let dead = |report: &Report| now.duration_since(report.heard) > KEPT;
        let dead = self.known.iter().filter(|(_, report)| dead(report));
        dead.map(|(name, report)| (name.clone(), report.version.clone())).collect()
    }
}

fn content(object: &ConfigMap) -> Result<Content, String> {
    let name = object.name_any();
    let Some(text) = object.data.as_ref().and_then(|data| data.get(VERSION)) else {
        return Err(format!("the ConfigMap {name} has the label of a gateway's report, and no data {VERSION:?}"));
    };
    serde_json::from_str(text).map_err(|error| format!("the report in the ConfigMap {name} cannot be read: {error}"))
}

fn is_sane(figures: &Figures) -> bool {
    let Figures { in_flight, answers_per_second, response_milliseconds } = figures;
    let is_sane = |number: f64| (0.0..=MOST).contains(&number);
    is_sane(*in_flight) && is_sane(*answers_per_second) && response_milliseconds.is_none_or(is_sane)
}

impl Sum {
    fn add(&mut self, figures: &Figures) {
        self.requests.in_flight += figures.in_flight;
        self.answers += figures.answers_per_second;
        let Some(milliseconds) = figures.response_milliseconds else { return };
        let weight = figures.answers_per_second.max(LEAST_WEIGHT);
        let before = self.requests.first_byte.unwrap_or_default() * self.weight;
        self.weight += weight;
        self.requests.first_byte = Some((before + milliseconds / 1000.0 * weight) / self.weight);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number of seconds")
    }

    fn report(name: &str, version: u32, data: &str) -> ConfigMap {
        let metadata = json!({"name": name, "resourceVersion": version.to_string()});
        serde_json::from_value(json!({"metadata": metadata, "data": {"v1": data}})).expect("a ConfigMap")
    }

    fn told(name: &str, version: u32, made: i64, figures: &serde_json::Value) -> ConfigMap {
        let models = json!({"ml/m": {"a": figures}});
        report(name, version, &json!({"at": at(made).to_string(), "models": models}).to_string())
    }

    fn filled(objects: Vec<ConfigMap>, now: i64) -> Reports {
        let mut reports = Reports::default();
        let objects = objects.into_iter().map(Event::InitApply);
        for event in [Event::Init].into_iter().chain(objects).chain([Event::InitDone]) {
            assert_eq!(reports.take(event, at(now)), None);
        }
        reports
    }

    fn in_flight(reports: &Reports, now: i64) -> Option<f64> {
        Some(reports.sums(at(now)).get("ml/m")?.get("a")?.requests.in_flight)
    }

    #[test]
    fn requests_are_added_up_and_response_times_weighed() {
        let reports = filled(
            vec![
                told("one", 1, 0, &json!({"inFlight": 3.5, "answersPerSecond": 30, "responseMilliseconds": 100})),
                told("two", 1, 0, &json!({"inFlight": 1, "answersPerSecond": 10, "responseMilliseconds": 500})),
                told("three", 1, 0, &json!({"inFlight": 0})),
                told("odd", 1, 0, &json!({"inFlight": -1e9})),
            ],
            10,
        );
        let sum = reports.sums(at(10))["ml/m"]["a"];
        assert_eq!((sum.requests.in_flight, sum.answers, reports.count(at(10))), (4.5, 40.0, 4));
        assert!(sum.requests.first_byte.is_some_and(|seconds| (seconds - 0.2).abs() < 1e-9), "{sum:?}");
    }

    #[test]
    fn who_is_silent_is_believed_no_more_and_then_forgotten() {
        let mut reports = filled(vec![told("one", 1, 1000, &json!({"inFlight": 1}))], 1060);
        assert_eq!((in_flight(&reports, 1180), in_flight(&reports, 1181)), (Some(1.0), None));
        // Its clock may be wrong: from now on it is this one's that counts.
        reports.take(Event::Apply(told("one", 2, 5, &json!({"inFlight": 2}))), at(1200));
        assert_eq!((in_flight(&reports, 1380), in_flight(&reports, 1381)), (Some(2.0), None));
        assert_eq!(reports.dead(at(1800)), []);
        assert_eq!(reports.dead(at(1801)), [("one".to_owned(), Some("2".to_owned()))]);
        // The watch began anew: nothing has been renewed by that.
        for event in [Event::Init, Event::InitApply(told("one", 2, 5, &json!({"inFlight": 2}))), Event::InitDone] {
            reports.take(event, at(1801));
        }
        assert_eq!((in_flight(&reports, 1801), reports.dead(at(1801)).len()), (None, 1));
        reports.take(Event::Delete(told("one", 3, 5, &json!({"inFlight": 2}))), at(1900));
        assert_eq!(reports.dead(at(9999)), []);
    }

    #[test]
    fn what_had_no_replica_was_requested_when_the_latest_gateway_said_so() {
        let of = |name: &str, made: i64, requested: &[&str]| {
            report(name, 1, &json!({"at": at(made).to_string(), "requested": requested}).to_string())
        };
        let mut reports = filled(vec![of("one", 1000, &["ml/m"]), of("two", 1030, &["ml/m", "ml/n"])], 1060);
        let expected = |all: &[(&str, i64)]| {
            all.iter().map(|(name, second)| ((*name).to_owned(), at(*second))).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(reports.requested(at(1060)), expected(&[("ml/m", 1030), ("ml/n", 1030)]));
        // Whatever its clock says.
        reports.take(Event::Apply(of("three", 9999, &["ml/m"])), at(1070));
        assert_eq!(reports.requested(at(1070)), expected(&[("ml/m", 1070), ("ml/n", 1030)]));
        assert_eq!(reports.requested(at(1249)), expected(&[("ml/m", 1070)]), "silence is not believed for long");
    }

    #[test]
    fn what_cannot_be_read_is_said_once_and_hurts_nobody_else() {
        let mut reports = filled(vec![told("good", 1, 0, &json!({"inFlight": 1}))], 0);
        let mut said = |object| reports.take(Event::Apply(object), at(1));
        assert!(said(report("bad", 1, "{")).is_some_and(|said| said.contains("ConfigMap bad cannot be read")));
        assert_eq!(said(report("bad", 2, "[]")), None);
        assert_eq!(said(told("bad", 3, 0, &json!({"inFlight": 1}))), None);
        assert!(said(ConfigMap { data: None, ..report("bad", 4, "") }).is_some_and(|said| said.contains("\"v1\"")));
        assert_eq!((in_flight(&reports, 1), reports.count(at(1))), (Some(1.0), 1));
    }
}
