//! A change that goes wave after wave.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use skyfleet_api::conditions::whole_seconds;
use skyfleet_api::model_deployment::{FailurePolicy, RolloutPhase, RolloutStatus};

use super::at_once::started;
use super::gates::{Stage, Verdict};
use super::waves::Waves;
use super::{Answer, ClusterState, News, Question, complete, everywhere, fresh, names, nobody, settled};

/// A pass over a change under way.
struct Pass<'a, 'c> {
    question: &'a Question<'a>,
    held: &'a [&'a ClusterState<'c>],
    stable: &'a str,
    waves: Waves<'c>,
    status: RolloutStatus,
}

/// Takes the change from `stable` to the target as far as it may go.
pub(super) fn advance(
    question: &Question,
    held: &[&ClusterState],
    stable: &str,
    under_way: Option<&RolloutStatus>,
) -> Answer {
    let waves = Waves::of(&question.spec.waves, held, question.target);
    let status = under_way.cloned().unwrap_or_else(|| fresh(question));
    let mut pass = Pass { question, held, stable, waves, status };
    if has_stopped(&pass.status) && !question.spec.paused {
        return match question.spec.on_failure {
            FailurePolicy::Rollback => pass.roll_back(),
            FailurePolicy::Pause => pass.answer(None, None),
        };
    }
    pass.resume_or_pause();
    let was = under_way.map(|status| status.phase);
    let paused = (was != Some(pass.status.phase) && question.spec.paused).then_some(News::Paused);
    if held.is_empty() {
        return Answer { news: paused, ..nobody(pass.status) };
    }
    pass.run(paused)
}

/// A gate failed and `onFailure` is `Pause`: the wave's clock stands.
fn has_stopped(status: &RolloutStatus) -> bool {
    status.phase == RolloutPhase::Paused && status.wave > 0 && status.wave_started.is_none()
}

impl<'a, 'c> Pass<'a, 'c> {
    /// The phase that the spec asks for. Where a pause ends, or somebody takes over a wave that had failed, its clock
    /// starts anew.
    fn resume_or_pause(&mut self) {
        let resumed = self.status.phase == RolloutPhase::Paused && !self.question.spec.paused;
        if self.status.wave > 0 && (resumed || has_stopped(&self.status)) {
            self.status.wave_started = Some(self.now());
        }
        self.status.phase = if self.question.spec.paused { RolloutPhase::Paused } else { RolloutPhase::Progressing };
    }

    /// Wave after wave, for as long as the gates let it through.
    fn run(mut self, paused: Option<News>) -> Answer {
        let begins = self.status.wave == 0;
        self.status.waves = self.waves.count;
        self.status.wave = self.status.wave.min(self.waves.count);
        let mut news = paused;
        loop {
            let begun = self.begun();
            let look_again = match self.judge(&begun) {
                Verdict::Failed(why) => return self.fail(&why),
                Verdict::Waiting(what, again) => {
                    self.status.message = self.message(&what, &begun);
                    again
                }
                Verdict::Passed if self.status.wave == self.waves.count => return complete(self.status, self.held),
                Verdict::Passed if self.question.spec.paused => {
                    self.status.message = format!("paused before wave {}", self.status.wave + 1);
                    None
                }
                Verdict::Passed => {
                    news = Some(if begins { News::Began } else { News::WaveDone(self.status.wave) });
                    self.status.wave += 1;
                    // A wave without clusters is passed over: it asks for no soak of its own.
                    if self.begun().len() > begun.len() {
                        (self.status.wave_started, self.status.ready_since) = (Some(self.now()), None);
                    }
                    continue;
                }
            };
            return self.answer(look_again, news);
        }
    }

    fn begun(&self) -> Vec<&'a ClusterState<'c>> {
        self.held.iter().copied().filter(|cluster| self.has_begun(cluster)).collect()
    }

    /// What the gates say of those that have the change; keeps the times.
    fn judge(&mut self, begun: &[&ClusterState]) -> Verdict {
        let target = self.question.target;
        if !begun.is_empty() {
            let joined = begun.iter().any(|cluster| cluster.revision != Some(target));
            self.status.wave_started = Some(Time(started(&self.status, joined, self.question.now)));
        }
        let stage = Stage {
            spec: self.question.spec,
            target,
            clusters: begun,
            started: self.status.wave_started.as_ref().map_or(self.question.now, |started| started.0),
            ready_since: self.status.ready_since.as_ref().map(|since| since.0),
            deadline: !self.question.spec.paused,
            now: self.question.now,
        };
        let (ready_since, verdict) = stage.judge();
        self.status.ready_since = ready_since.map(Time);
        verdict
    }

    /// Whether the cluster shall have the change: its wave has come, or it has it, and nobody goes back because another
    /// cluster came or went.
    fn has_begun(&self, cluster: &ClusterState) -> bool {
        let has_it = self.status.wave > 0 && cluster.revision == Some(self.question.target);
        has_it || self.waves.reached(cluster, self.status.wave)
    }

    fn fail(mut self, why: &str) -> Answer {
        let wave = format!("wave {} of {}", self.status.wave, self.waves.count);
        match self.question.spec.on_failure {
            FailurePolicy::Rollback => {
                self.status.message = format!("{wave} failed: {why}");
                self.roll_back()
            }
            // A person has stopped it already.
            FailurePolicy::Pause if self.question.spec.paused => {
                self.status.message = format!("paused; {wave} does not pass its gates");
                self.answer(None, None)
            }
            FailurePolicy::Pause => {
                self.status.phase = RolloutPhase::Paused;
                self.status.message = format!("{wave} failed: {why}");
                (self.status.wave_started, self.status.ready_since) = (None, None);
                self.answer(None, Some(News::Paused))
            }
        }
    }

    fn roll_back(mut self) -> Answer {
        self.status.phase = RolloutPhase::RolledBack;
        (self.status.wave_started, self.status.ready_since) = (None, None);
        self.status.message = format!("{}; back to {}", self.status.message, self.stable);
        Answer { news: Some(News::RolledBack), ..settled(self.status, everywhere(self.held, self.stable)) }
    }

    fn answer(self, look_again: Option<Timestamp>, news: Option<News>) -> Answer {
        let revision = |cluster| if self.has_begun(cluster) { self.question.target } else { self.stable };
        let revisions: BTreeMap<_, _> =
            self.held.iter().map(|cluster| (cluster.name.to_owned(), revision(cluster).to_owned())).collect();
        Answer { look_again, news, ..settled(self.status, revisions) }
    }

    fn message(&self, what: &str, begun: &[&ClusterState]) -> String {
        let paused = if self.question.spec.paused { "paused; " } else { "" };
        let silent: Vec<_> = begun.iter().copied().filter(|cluster| !cluster.reachable).collect();
        let message = format!("{paused}wave {} of {} waits {what}", self.status.wave, self.waves.count);
        if silent.is_empty() || silent.len() == begun.len() {
            return message;
        }
        format!("{message}; not reached, and not waited for: {}", names(&silent))
    }

    fn now(&self) -> Time {
        Time(whole_seconds(self.question.now))
    }
}
