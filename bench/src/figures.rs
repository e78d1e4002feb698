//! What a benchmark found: one JSON object a line, for programs first and for people second.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured, such as `fleet.decision_to_object_p99`.
    pub bench: String,
    /// How much it was; `None` when there was nothing to measure.
    pub value: Option<f64>,
    /// Of what: `s`, `1/s`, `MiB`.
    pub unit: &'static str,
    /// The program it is compared with, where there is one.
    pub peer: Option<String>,
    /// The value relative to the peer's.
    pub ratio: Option<f64>,
    /// The bound that the project has set itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Whether the value is below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
    /// Under which circumstances.
    #[serde(flatten)]
    pub circumstances: BTreeMap<&'static str, Value>,
}

impl Figure {
    /// A figure that is compared with nothing.
    #[must_use]
    pub fn new(bench: impl Into<String>, value: Option<f64>, unit: &'static str) -> Self {
        let value = value.map(|value| (value * 10_000.0).round() / 10_000.0);
        let circumstances = BTreeMap::new();
        Self { bench: bench.into(), value, unit, peer: None, ratio: None, target: None, met: None, circumstances }
    }

    /// A time in seconds.
    #[must_use]
    pub fn seconds(bench: impl Into<String>, value: Option<Duration>) -> Self {
        Self::new(bench, value.map(|value| value.as_secs_f64()), "s")
    }

    /// Says whether the value is below the bound. What could not be measured is not.
    #[must_use]
    pub fn below(mut self, target: f64) -> Self {
        self.target = Some(target);
        self.met = Some(self.value.is_some_and(|value| value < target));
        self
    }

    /// Adds a circumstance.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.circumstances.insert(name, value.into());
        self
    }

    /// Prints it on standard output.
    #[allow(clippy::print_stdout, reason = "the output of a benchmark")]
    pub fn print(&self) {
        // Plain fields always render.
        println!("{}", serde_json::to_string(self).unwrap_or_default());
    }
}

/// The nearest-rank percentile (0 to 100) of sorted values; `None` of none.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a small rank")]
pub fn percentile(sorted: &[Duration], percent: f64) -> Option<Duration> {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        for (percent, wanted) in [(0.0, 1), (50.0, 50), (99.0, 99), (99.1, 100), (100.0, 100)] {
            assert_eq!(percentile(&hundred, percent), Some(Duration::from_millis(wanted)), "P{percent}");
        }
        assert_eq!(percentile(&[], 99.0), None);
        assert_eq!(percentile(&hundred[..1], 99.0), Some(Duration::from_millis(1)));
    }

    #[test]
    fn a_figure_is_one_line_of_json() {
        let figure = Figure::new("a.b", Some(0.123_456), "s").below(1.0).with("members", 100);
        let line = serde_json::to_string(&figure).expect("it renders");
        assert_eq!(
            line,
            r#"{"bench":"a.b","value":0.1235,"unit":"s","peer":null,"ratio":null,"target":1.0,"met":true,"members":100}"#
        );
        assert_eq!(Figure::new("a.b", None, "s").below(1.0).met, Some(false));
    }
}
