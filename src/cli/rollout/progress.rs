//! How a rollout stands, in kubectl's words: pure.

use kube::ResourceExt;
use skyfleet_api::ModelDeployment;
use skyfleet_api::model_deployment::{RolloutPhase, RolloutStatus};

/// How a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on, and this is waited for.
    Waiting(String),
    /// It is through.
    Done(String),
    /// It has failed.
    Failed(String),
}

/// How the rollout of a ModelDeployment stands. `Err` says why it has none.
pub(super) fn progress(model: &ModelDeployment) -> Result<Progress, String> {
    let name = model.name_any();
    let Some(rollout) = &model.spec.rollout else { return Err(without_rollout(&name)) };
    let status = model.status.as_ref();
    // A status that answers an older spec tells of the change before.
    let observed = status.and_then(|status| status.observed_generation);
    if observed.unwrap_or_default() < model.metadata.generation.unwrap_or_default() {
        return Ok(Progress::Waiting("Waiting for modeldeployment spec update to be observed...".to_owned()));
    }
    let Some(status) = status.and_then(|status| status.rollout.as_ref()) else {
        return Ok(Progress::Waiting(format!("Waiting for modeldeployment {name:?} rollout to begin...")));
    };
    let because = if status.message.is_empty() { String::new() } else { format!(": {}", status.message) };
    Ok(match status.phase {
        RolloutPhase::Complete => Progress::Done(format!("modeldeployment {name:?} successfully rolled out")),
        RolloutPhase::RolledBack => Progress::Failed(format!("modeldeployment {name:?} was rolled back{because}")),
        RolloutPhase::Paused if !rollout.paused => {
            Progress::Failed(format!("modeldeployment {name:?} rollout stopped at {}{because}", wave(status)))
        }
        RolloutPhase::Paused => Progress::Waiting(format!(
            "modeldeployment {name:?} rollout is paused at {}{because}; `rollout resume` goes on",
            wave(status)
        )),
        RolloutPhase::Progressing => Progress::Waiting(format!(
            "Waiting for modeldeployment {name:?} rollout to finish: {}{because}",
            wave(status)
        )),
    })
}

/// What is said of a ModelDeployment whose changes reach all clusters at once.
pub(super) fn without_rollout(name: &str) -> String {
    format!(
        "modeldeployment {name:?} has no spec.rollout: its changes reach all clusters at once, no revision is kept, and its \
         condition Ready says how it goes"
    )
}

fn wave(status: &RolloutStatus) -> String {
    format!("wave {} of {}", status.wave, status.waves)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn model(rollout: Value, status: Value) -> ModelDeployment {
        let mut spec = json!({"model": {"name": "m", "image": {}}, "runtime": {"image": "i", "port": 80}});
        spec["rollout"] = rollout;
        let manifest = json!({"metadata": {"name": "minilm", "generation": 4}, "spec": spec, "status": status});
        serde_json::from_value(manifest).expect("a ModelDeployment")
    }

    fn at(phase: &str, paused: bool, message: &str) -> Progress {
        let rollout = json!({"phase": phase, "targetRevision": "b", "wave": 1, "waves": 3, "message": message});
        let status = json!({"observedGeneration": 4, "rollout": rollout});
        progress(&model(json!({"paused": paused}), status)).expect("it has a rollout")
    }

    #[test]
    fn each_phase_has_its_sentence() {
        let waits = "Waiting for modeldeployment \"minilm\" rollout to finish: wave 1 of 3: soaking for 30 s";
        assert_eq!(at("Progressing", false, "soaking for 30 s"), Progress::Waiting(waits.to_owned()));
        let done = "modeldeployment \"minilm\" successfully rolled out";
        assert_eq!(at("Complete", false, ""), Progress::Done(done.to_owned()));
        let back = "modeldeployment \"minilm\" was rolled back: 40% of requests failed in aws-1";
        assert_eq!(at("RolledBack", false, "40% of requests failed in aws-1"), Progress::Failed(back.to_owned()));
        assert!(matches!(at("Paused", true, ""), Progress::Waiting(said) if said.contains("rollout resume")));
        let stopped = at("Paused", false, "the deadline has passed");
        assert!(matches!(stopped, Progress::Failed(said) if said.ends_with("at wave 1 of 3: the deadline has passed")));
    }

    #[test]
    fn an_answer_to_an_older_spec_is_waited_out() {
        let rollout = json!({"phase": "Complete", "targetRevision": "a"});
        let old = model(json!({}), json!({"observedGeneration": 3, "rollout": rollout}));
        assert!(matches!(progress(&old), Ok(Progress::Waiting(said)) if said.contains("to be observed")));
        assert!(matches!(progress(&model(json!({}), json!({"observedGeneration": 4}))), Ok(Progress::Waiting(_))));
        assert!(progress(&model(Value::Null, json!({}))).unwrap_err().contains("no spec.rollout"));
    }
}
