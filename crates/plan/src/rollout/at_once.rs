//! A revision that needs no waves: a model's first, or back to the stable one.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use skyfleet_api::conditions::whole_seconds;
use skyfleet_api::model_deployment::{Rollout, RolloutPhase, RolloutStatus};

use super::gates::{Stage, Verdict};
use super::{Answer, ClusterState, News, Question, complete, everywhere, fresh, nobody, settled};

/// Everybody gets the target now. It is complete when all that are reached have it ready; the deadline only says that it
/// took too long.
pub(super) fn advance(question: &Question, held: &[&ClusterState], under_way: Option<&RolloutStatus>) -> Answer {
    let mut status = under_way.cloned().unwrap_or_else(|| fresh(question));
    status.phase = RolloutPhase::Progressing;
    if held.is_empty() {
        return nobody(status);
    }
    let news = (status.wave == 0).then_some(News::Began);
    (status.wave, status.waves, status.ready_since) = (1, 1, None);
    let joined = held.iter().any(|cluster| cluster.revision != Some(question.target));
    let started = started(&status, joined, question.now);
    status.wave_started = Some(Time(started));
    let ungated = Rollout { soak_seconds: 0, max_error_percent: None, ..question.spec.clone() };
    let stage = Stage {
        spec: &ungated,
        target: question.target,
        clusters: held,
        started,
        ready_since: None,
        deadline: true,
        now: question.now,
    };
    let look_again = match stage.judge().1 {
        Verdict::Passed => return complete(status, held),
        Verdict::Waiting(message, again) => {
            status.message = message;
            again
        }
        Verdict::Failed(why) if status.stable_revision.is_none() => {
            status.message = format!("{why}; there is no earlier revision to go back to");
            None
        }
        Verdict::Failed(why) => {
            status.message = why;
            None
        }
    };
    Answer { look_again, news, ..settled(status, everywhere(held, question.target)) }
}

/// When the clock of a wave started: anew when a cluster has just joined it.
pub(super) fn started(status: &RolloutStatus, joined: bool, now: Timestamp) -> Timestamp {
    match &status.wave_started {
        Some(started) if !joined => started.0,
        _ => whole_seconds(now),
    }
}
