//! Verdicts of placement in words that stay: for people, and for programs that read JSON.

use serde::Serialize;
use skyfleet_plan::placement::{Assignment, Exclusion, Verdict};

/// Why a cluster takes no more replicas, in fields that stay.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    /// `Eligible`, `Keeps` or `GivesUp`.
    pub(super) verdict: &'static str,
    /// One word for why it takes no more; absent when it is eligible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    /// The same for a person, with the number that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// What would change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl From<&Verdict> for Finding {
    fn from(verdict: &Verdict) -> Self {
        let name = match verdict {
            Verdict::Eligible => "Eligible",
            Verdict::Keeps(_) => "Keeps",
            Verdict::GivesUp(_) => "GivesUp",
        };
        let exclusion = verdict.exclusion();
        Self {
            verdict: name,
            reason: exclusion.map(reason),
            message: exclusion.map(ToString::to_string),
            remedy: exclusion.map(Exclusion::remedy),
        }
    }
}

impl Finding {
    /// Whether the cluster is given up as lost.
    pub(super) fn is_lost(&self) -> bool {
        self.reason == Some(LOST)
    }
}

const LOST: &str = "Lost";

/// One word for an exclusion.
pub(super) fn reason(exclusion: &Exclusion) -> &'static str {
    match exclusion {
        Exclusion::Unreachable { .. } => "Unreachable",
        Exclusion::Lost { .. } => LOST,
        Exclusion::Refusing => "Refusing",
        Exclusion::Leaving => "Leaving",
        Exclusion::NotSelected => "NotSelected",
        Exclusion::Field { .. } => "Field",
        Exclusion::Residency { .. } => "Residency",
        Exclusion::Tainted(_) => "Tainted",
        Exclusion::Weightless => "Weightless",
        Exclusion::NoBucketNear => "NoBucketNear",
        Exclusion::DataFailed(_) => "DataFailed",
        Exclusion::NotServing { .. } => "NotServing",
        Exclusion::NoRoom(_) => "NoRoom",
    }
}

/// Why a cluster has what it has, for the last column of a table.
pub(super) fn why(verdict: &Verdict, assignment: Option<&Assignment>) -> String {
    match (verdict.exclusion(), assignment) {
        // The plan is silent on what a full cluster lacks, since that would be news at every look; a person has asked.
        (Some(full @ Exclusion::NoRoom(_)), Some(assignment)) => format!("{}; full: {full}", assignment.why),
        (_, Some(assignment)) => assignment.why.clone(),
        (Some(exclusion), None) => exclusion.to_string(),
        (None, None) => "eligible; others come before it".to_owned(),
    }
}
