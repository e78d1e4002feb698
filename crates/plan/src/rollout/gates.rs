//! The gates of a wave: readiness, the soak, errors, the deadline.

use jiff::Timestamp;
use skyfleet_api::conditions::whole_seconds;
use skyfleet_api::model_deployment::Rollout;

use super::errors::{self, Errors};
use super::{ClusterState, names};
use crate::time::after;

/// A wave under way.
pub(super) struct Stage<'a, 'c> {
    /// The gates.
    pub spec: &'a Rollout,
    /// The revision that is rolled out.
    pub target: &'a str,
    /// The clusters that have the change: of this wave and of earlier ones.
    pub clusters: &'a [&'a ClusterState<'c>],
    /// When it began.
    pub started: Timestamp,
    /// Since when it is ready, as far as is known.
    pub ready_since: Option<Timestamp>,
    /// Whether the deadline runs.
    pub deadline: bool,
    /// The time.
    pub now: Timestamp,
}

/// What the gates say.
pub(super) enum Verdict {
    /// It is through.
    Passed,
    /// Not yet: for what, and when to look again if nothing happens till then.
    Waiting(String, Option<Timestamp>),
    /// It has failed, and why.
    Failed(String),
}

impl Stage<'_, '_> {
    /// What the gates say, and since when the wave is ready.
    pub fn judge(&self) -> (Option<Timestamp>, Verdict) {
        let heard: Vec<_> = self.clusters.iter().copied().filter(|cluster| cluster.reachable).collect();
        if self.clusters.is_empty() {
            return (None, Verdict::Passed);
        }
        if heard.is_empty() {
            let message = format!("until one that has the change is reached: {}", names(self.clusters));
            return (None, Verdict::Waiting(message, None));
        }
        let starting: Vec<_> = heard.iter().copied().filter(|cluster| !self.runs(cluster)).collect();
        if !starting.is_empty() {
            let failed = |late: &str| format!("not ready after {} s: {late}", self.spec.progress_deadline_seconds);
            return (None, self.unless_overdue(&starting, format!("until ready: {}", names(&starting)), failed));
        }
        let ready_since = self.ready_since.unwrap_or(whole_seconds(self.now));
        (Some(ready_since), self.when_ready(&heard, ready_since))
    }

    fn runs(&self, cluster: &ClusterState) -> bool {
        cluster.revision == Some(self.target) && cluster.updated
    }

    fn when_ready(&self, heard: &[&ClusterState], ready_since: Timestamp) -> Verdict {
        let max = self.spec.max_error_percent.unwrap_or(100);
        let judged =
            |cluster: &ClusterState| errors::judge(cluster.load, self.spec.max_error_percent, ready_since, self.now);
        for cluster in heard {
            if let Errors::TooMany(percent) = judged(cluster) {
                let name = cluster.name;
                return Verdict::Failed(format!("{percent:.1} % of the requests in {name} failed, {max} % may"));
            }
        }
        let above: Vec<_> = heard.iter().copied().filter(|cluster| judged(cluster) == Errors::Above).collect();
        if !above.is_empty() {
            let waiting = format!("until no more than {max} % of the requests fail in {}", names(&above));
            let limit = self.spec.progress_deadline_seconds;
            let failed = |late: &str| format!("more than {max} % of the requests failed after {limit} s in {late}");
            return self.unless_overdue(&above, waiting, failed);
        }
        let soaked = after(ready_since, self.spec.soak_seconds);
        if self.now < soaked {
            return Verdict::Waiting(format!("until it was ready for {} s", self.spec.soak_seconds), Some(soaked));
        }
        let not_yet = heard.iter().filter_map(|cluster| match judged(cluster) {
            Errors::NotYet(until) => Some(until),
            _ => None,
        });
        match not_yet.max() {
            Some(until) => Verdict::Waiting("until its requests are counted".to_owned(), Some(until)),
            None => Verdict::Passed,
        }
    }

    /// Waits for `clusters`, unless the deadline of one of them is over.
    fn unless_overdue(
        &self,
        clusters: &[&ClusterState],
        waiting: String,
        failed: impl FnOnce(&str) -> String,
    ) -> Verdict {
        if !self.deadline {
            return Verdict::Waiting(waiting, None);
        }
        let deadline = |cluster: &ClusterState| {
            let from = cluster.reachable_since.map_or(self.started, |since| since.max(self.started));
            after(from, self.spec.progress_deadline_seconds)
        };
        if clusters.iter().any(|cluster| deadline(cluster) <= self.now) {
            return Verdict::Failed(failed(&names(clusters)));
        }
        Verdict::Waiting(waiting, clusters.iter().map(|cluster| deadline(cluster)).min())
    }
}
