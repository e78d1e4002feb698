//! What a gateway tells the hub of the requests it sends: the form in which it is written, and in which the operator reads it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The label of ConfigMaps that are reports.
pub(crate) const LABEL: &str = "skyfleet.dev/gateway-report";
/// Its value.
pub(crate) const LABEL_VALUE: &str = "true";
/// The key of a ConfigMap's data that has the report, by the version of its form.
pub(crate) const VERSION: &str = "v1";

/// Bytes of a report: a ConfigMap holds 1 MiB, and the hub keeps every version of it for minutes.
const MOST_BYTES: usize = 256 << 10;
/// Names of ModelDeployments that had no replica, at most: together they have a quarter of the bytes.
const MOST_REQUESTED: usize = 512;
/// Bytes of an entry beside its names, at most.
const ENTRY_BYTES: usize = 100;

/// How requests go to the replicas of a ModelDeployment in one cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    /// Requests that had not ended, the mean of the time since the report before.
    pub(crate) in_flight: f64,
    /// Answers a second that began in that time.
    #[serde(default)]
    pub(crate) answers_per_second: f64,
    /// Milliseconds to the first byte of an answer, the mean of the last minutes; absent if none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) response_milliseconds: Option<f64>,
}

impl Figures {
    /// Whether there was any request.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight > 0.0 || self.answers_per_second > 0.0
    }
}

/// Figures by ModelDeployment (`namespace/name`), and by cluster.
pub(crate) type Models = BTreeMap<String, BTreeMap<String, Figures>>;

/// A report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Content {
    /// When it was made, by the gateway's clock.
    pub(crate) at: Timestamp,
    /// What it tells of: ModelDeployments that this gateway has had requests for.
    #[serde(default)]
    pub(crate) models: Models,
    /// ModelDeployments that had requests lately, and no replica for them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) requested: BTreeSet<String>,
    /// How many figures are left out, because there are more than a ConfigMap should hold.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) left_out: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Content {
    /// A report of these figures, or of the busiest of them if they are too many, and of what was requested in vain.
    pub(super) fn new(at: Timestamp, models: Models, requested: impl IntoIterator<Item = String>) -> Self {
        let requested = requested.into_iter().take(MOST_REQUESTED).collect();
        let bytes = |model: &str, cluster: &str| model.len() + cluster.len() + ENTRY_BYTES;
        let all = || models.iter().flat_map(|(model, of)| of.iter().map(move |(cluster, one)| (model, cluster, one)));
        if all().map(|(model, cluster, _)| bytes(model, cluster)).sum::<usize>() <= MOST_BYTES {
            return Self { at, models, requested, left_out: 0 };
        }
        let mut entries: Vec<_> = all().collect();
        entries.sort_by_key(|(.., figures)| Reverse(busyness(figures)));
        let (mut used, mut content) = (0, Self { at, models: Models::new(), requested, left_out: 0 });
        for (model, cluster, figures) in entries {
            used += bytes(model, cluster);
            if used <= MOST_BYTES {
                content.models.entry(model.clone()).or_default().insert(cluster.clone(), *figures);
            } else {
                content.left_out += 1;
            }
        }
        content
    }
}

/// In hundredths, for an order.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is too large is the largest")]
fn busyness(figures: &Figures) -> u64 {
    ((figures.in_flight + figures.answers_per_second) * 100.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(in_flight: f64) -> Figures {
        Figures { in_flight, answers_per_second: 12_345_678.25, response_milliseconds: Some(123_456_789.1) }
    }

    #[test]
    fn what_is_written_is_read_and_what_a_later_version_adds_is_passed_over() {
        let models = [("ml/m".to_owned(), [("aws-1".to_owned(), figures(1.5))].into())].into();
        let content = Content::new(Timestamp::UNIX_EPOCH, models, ["ml/none".to_owned()]);
        let text = serde_json::to_string(&content).expect("JSON");
        assert_eq!(serde_json::from_str::<Content>(&text).expect("a report"), content);
        let later = r#"{"at":"2026-01-01T00:00:00Z","new":1,"models":{"a/b":{"c":{"inFlight":2,"new":[]}}}}"#;
        let read: Content = serde_json::from_str(later).expect("a report");
        assert_eq!(read.models["a/b"]["c"], Figures { in_flight: 2.0, ..Figures::default() });
    }

    #[test]
    fn of_too_many_the_busiest_are_told_and_it_fits() {
        let name = |number: u32| format!("{}/{number:0>63}", "n".repeat(63));
        let model = |number: u32| (name(number), [("c".repeat(63), figures(f64::from(number % 2 * number)))].into());
        let content = Content::new(Timestamp::UNIX_EPOCH, (0..2000).map(model).collect(), (0..2000).map(name));
        let bytes = serde_json::to_string(&content).expect("JSON").len();
        assert!((MOST_BYTES / 2..=MOST_BYTES * 5 / 4 + 100).contains(&bytes), "{bytes}");
        assert_eq!(content.requested.len(), MOST_REQUESTED);
        assert_eq!(content.left_out + content.models.len(), 2000);
        assert!(content.models.contains_key(&name(1999)) && !content.models.contains_key(&name(1)));
        assert!(content.models.values().flat_map(BTreeMap::values).all(|figures| figures.in_flight > 1.0));
    }
}
