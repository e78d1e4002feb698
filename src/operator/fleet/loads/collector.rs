//! Asks the pods of one ModelDeployment, round by round.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use skyfleet_plan::load::{History, Load, Reading, Report};
use tokio::sync::Semaphore;

use super::ask::{Asked, Failure, ready_pods, report};
use super::{Key, Source};
use crate::operator::metrics::LoadReport;

/// Pods of one ModelDeployment that are asked. Of more always the same ones are, as long as they live: counters are compared
/// with the same pod's before. The load is theirs, and is scaled to all by whoever needs it.
const MOST_PODS: usize = 32;
/// Of a member's requests at once, so many are one ModelDeployment's at most.
const REQUESTS_AT_ONCE: usize = 2;
/// The most rounds that a pod which does not answer is left in peace.
const LONGEST_REST: u64 = 7;
/// Pods that failed more than once in a row and are tried again in one round: each may cost its whole time-out.
const SECOND_CHANCES: usize = 4;

/// What is known of the pods of one ModelDeployment.
pub(super) struct Collector {
    source: Arc<Source>,
    requests: Arc<Semaphore>,
    key: Key,
    reading: Reading,
    history: History,
    round: u64,
    /// The pods whose last answer was none, by UID.
    silent: BTreeMap<String, Silence>,
    /// Whether the last list of pods failed.
    blind: bool,
}

/// Failures of a pod in a row.
#[derive(Default)]
struct Silence {
    failures: u32,
    until: u64,
}

impl Collector {
    pub(super) fn new(source: Arc<Source>, requests: Arc<Semaphore>, key: Key, reading: Reading) -> Self {
        let (history, silent) = (History::default(), BTreeMap::new());
        Self { source, requests, key, reading, history, round: 0, silent, blind: false }
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Asks once; `None` when nobody reported. The time is taken when all have answered.
    pub(super) async fn round(&mut self, now: impl FnOnce() -> Timestamp) -> Option<Load> {
        self.round += 1;
        let pods = self.pods().await?;
        let answers: Vec<_> = stream::iter(self.chosen(pods))
            .map(|pod| async { (self.ask(&pod.name).await, pod) })
            .buffer_unordered(REQUESTS_AT_ONCE)
            .collect()
            .await;
        let reports = answers.into_iter().filter_map(|(answer, pod)| Some((pod.uid.clone(), self.take(&pod, answer)?)));
        let reports: BTreeMap<_, _> = reports.collect();
        self.history.observe(reports, now())
    }

    async fn pods(&mut self) -> Option<Vec<Asked>> {
        let list = {
            let _permit = self.requests.acquire().await.ok()?;
            ready_pods(&self.source, &self.key).await
        };
        match list {
            Ok(pods) => {
                self.blind = false;
                self.silent.retain(|uid, _| pods.iter().any(|pod| pod.uid == *uid));
                Some(pods)
            }
            Err(error) => {
                self.source.metrics.load_report(&self.source.member, error.outcome());
                if !std::mem::replace(&mut self.blind, true) {
                    tracing::debug!(member = self.source.member, model = ?self.key, %error, "pods could not be listed");
                }
                None
            }
        }
    }

    /// The pods that are asked this time: those that answer, and a few of the others whose turn it is.
    fn chosen(&self, pods: Vec<Asked>) -> Vec<Asked> {
        let silence = |pod: &Asked| self.silent.get(&pod.uid).filter(|silence| silence.failures > 1);
        let (mut doubted, mut chosen): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| silence(pod).is_some());
        chosen.sort_unstable();
        chosen.truncate(MOST_PODS);
        doubted.retain(|pod| silence(pod).is_some_and(|silence| silence.until < self.round));
        doubted.sort_by_key(|pod| silence(pod).map(|silence| silence.until));
        doubted.truncate(SECOND_CHANCES.min(MOST_PODS - chosen.len()));
        chosen.append(&mut doubted);
        chosen
    }

    async fn ask(&self, pod: &str) -> Result<Report, Failure> {
        let _permit = self.requests.acquire().await;
        report(&self.source, &self.key.0, pod, &self.reading).await
    }

    /// Counts an answer; gives what was reported.
    fn take(&mut self, pod: &Asked, answer: Result<Report, Failure>) -> Option<Report> {
        let (outcome, report) = match answer {
            Ok(report) => {
                self.silent.remove(&pod.uid);
                let outcome = if report.says_nothing() { LoadReport::Nothing } else { LoadReport::Reported };
                (outcome, Some(report))
            }
            Err(error) => {
                let silence = self.silent.entry(pod.uid.clone()).or_default();
                silence.failures += 1;
                silence.until = self.round + rest(silence.failures);
                if silence.failures == 1 {
                    tracing::debug!(member = self.source.member, pod = pod.name, %error, "a pod did not tell its load");
                }
                (error.outcome(), None)
            }
        };
        self.source.metrics.load_report(&self.source.member, outcome);
        report
    }
}

/// The rounds that a pod is left in peace: none after the first failure in a row, then more and more.
fn rest(failures: u32) -> u64 {
    ((1 << failures.saturating_sub(1).min(8)) - 1).min(LONGEST_REST)
}
