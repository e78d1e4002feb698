//! What the replicas of a ModelDeployment report of their work, by the metrics of the program that serves.
//!
//! [`Reading`] says what to look for, [`Report`] is what one pod said, and [`History`] makes the [`Load`] of the reports of
//! all pods and of what the same pods said before. [`Requests`] is what gateways know of those that do not report.

mod exposition;
mod gateways;
mod history;
mod reading;
mod report;

pub use exposition::Unreadable;
pub use gateways::Requests;
pub use history::History;
pub use reading::{Reading, ReadingError};
pub use report::Report;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A report older than this says nothing of now.
pub const FRESH: SignedDuration = SignedDuration::from_secs(60);

/// What the replicas of one ModelDeployment in one cluster report, taken together. What they don't report is absent, not
/// zero.
///
/// Of very many replicas only some are asked, and some may not answer: whoever wants the load of all takes it
/// [`scaled_to`](Self::scaled_to) those that are ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// When it was measured.
    pub observed: Timestamp,
    /// Replicas that reported.
    pub reporting: i32,
    /// Requests being answered, by all that reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<f64>,
    /// Requests waiting to be taken up, by all that reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<f64>,
    /// Mean time to the first token (to the answer, where there are no tokens) in seconds, since the report before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_first_token: Option<f64>,
    /// Requests answered since the report before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<f64>,
    /// The share of those that failed, 0 to 1; absent where there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_ratio: Option<f64>,
}

impl Load {
    /// Whether it still says something of `now`.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.duration_since(self.observed) <= FRESH
    }

    /// What `ready` replicas would report if all were like those that did: the sums grow by `ready` over `reporting`. Fewer
    /// ready than reporting changes nothing: what was reported has happened.
    #[must_use]
    pub fn scaled_to(&self, ready: i32) -> Self {
        let factor = f64::from(ready.max(self.reporting)) / f64::from(self.reporting.max(1));
        let scaled = |sum: Option<f64>| sum.map(|sum| sum * factor);
        Self {
            in_flight: scaled(self.in_flight),
            queued: scaled(self.queued),
            requests: scaled(self.requests),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests;
