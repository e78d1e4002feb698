//! Why a number is what it is, for a person.

use super::reading::Reading;
use super::{Decision, Question};

/// What was reported, and the reason. Kept as it was while number and reason are the same, so that a swaying load does not
/// rewrite the status.
pub(super) fn why(question: &Question, reading: &Reading, decision: Decision) -> String {
    let reason = reason(question, reading, decision);
    let before = question.status.filter(|status| {
        status.replicas == decision.replicas && (status.why == reason || status.why.ends_with(&format!(": {reason}")))
    });
    match (before, reported(reading)) {
        (Some(before), _) => before.why.clone(),
        (None, Some(reported)) => format!("{reported}: {reason}"),
        (None, None) => reason,
    }
}

fn reported(reading: &Reading) -> Option<String> {
    let metrics = reading.metrics().into_iter().filter(|(metric, _)| metric.reporting > 0);
    let parts: Vec<_> = metrics.clone().map(|(metric, name)| format!("{:.0} {name}", metric.sum)).collect();
    let reporting = metrics.map(|(metric, _)| metric.reporting).max()?;
    let replicas = if reporting == 1 { "replica" } else { "replicas" };
    Some(format!("{} on {reporting} {replicas}", parts.join(" and ")))
}

/// Found from what was decided, not from how it came about: the next pass, which finds it decided, must say the same.
fn reason(question: &Question, reading: &Reading, decision: Decision) -> String {
    let (spec, replicas) = (question.spec, decision.replicas);
    let wanted = reading.wanted(replicas);
    let called = question.is_called();
    let at_limit = |limit: Option<i32>| limit.is_some_and(|limit| limit <= replicas);
    if replicas == 0 && at_limit(question.placeable) && (called || wanted.is_some_and(|wanted| wanted > 0)) {
        return "wanted, but the fleet can hold none".to_owned();
    }
    if replicas == 0 {
        return "idle, until a request comes".to_owned();
    }
    let Some(wanted) = wanted else {
        return if called { "requested" } else { "no fresh report of the load, so the number stays" }.to_owned();
    };
    match decision.fewer {
        _ if wanted > replicas && spec.max_replicas <= replicas => format!("maxReplicas is {replicas}"),
        _ if wanted > replicas && at_limit(question.placeable) => {
            "more are wanted, the fleet can hold no more".to_owned()
        }
        _ if wanted > replicas => "more are wanted, and follow when these are ready".to_owned(),
        Some((_, 0)) if replicas == 1 => format!("nothing to do, the last goes after {} s of that", spec.idle_seconds),
        Some(_) => format!("fewer are enough, and some go after {} s of that", spec.scale_down_seconds),
        None if replicas <= spec.min_replicas => format!("minReplicas is {replicas}, and enough"),
        None if reading.lacks_a_target() => "not every target is reported, so none go".to_owned(),
        None => format!("{replicas} needed"),
    }
}
