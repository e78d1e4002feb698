//! Why each replica is where it is, why not elsewhere, and what would change it: made from a snapshot by asking placement
//! again and again. Pure.

use jiff::Timestamp;
use kube::core::ParseExpressionError;
use serde::Serialize;
use skyfleet_api::cluster::Provider;
use skyfleet_api::model_deployment::Strategy;
use skyfleet_plan::placement::{Candidate, Plan, Snapshot, Verdict, place};

use super::lift::{anew, lifted};
use crate::cli::words::{Finding, why};

/// How many more replicas than are asked for are tried at most.
const FURTHER: i32 = 1000;

/// The explanation of one ModelDeployment. The names of its fields in JSON stay.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) source: Source,
    /// The moment of the snapshot.
    pub(super) now: Timestamp,
    pub(super) asked: i32,
    pub(super) placed: i32,
    pub(super) unplaced: i32,
    pub(super) ready: i32,
    pub(super) placeable: Placeable,
    pub(super) clusters: Vec<ClusterReport>,
    /// What placement says, with the verdict on every cluster.
    pub(super) plan: Plan,
    /// What it was asked.
    pub(super) snapshot: Snapshot,
}

/// Whom the snapshot is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub(super) enum Source {
    /// The operator that leads.
    Operator,
    /// The objects on the hub, since the operator could not be asked.
    Statuses {
        /// Why not.
        because: String,
    },
}

/// The largest number of replicas that could be placed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Placeable {
    pub(super) replicas: i32,
    /// More were not tried.
    pub(super) at_least: bool,
}

/// One cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterReport {
    pub(super) cluster: String,
    pub(super) provider: Provider,
    pub(super) region: String,
    /// Replicas that it shall have.
    pub(super) desired: i32,
    /// Replicas that were decided for it before.
    pub(super) decided: i32,
    pub(super) ready: i32,
    /// Replicas beyond the desired ones, kept until others serve in their place.
    pub(super) keeps: i32,
    /// How many more it has room for; absent where nothing bounds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room: Option<i64>,
    #[serde(flatten)]
    pub(super) finding: Finding,
    pub(super) why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) if_lifted: Option<IfLifted>,
}

/// What would be, were its exclusion lifted.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IfLifted {
    /// Replicas that it would have at once. What runs well elsewhere does not move.
    pub(super) desired: i32,
    /// Replicas that it would have, were all of them placed anew.
    pub(super) anew: i32,
    /// Replicas that would still be placed nowhere.
    pub(super) unplaced: i32,
    /// What keeps it from taking replicas then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) then: Option<Finding>,
}

/// Explains a snapshot.
///
/// # Errors
/// The cluster selector is not one.
pub(super) fn explain(
    namespace: &str,
    name: &str,
    source: Source,
    snapshot: Snapshot,
) -> Result<Explanation, ParseExpressionError> {
    let plan = place(&snapshot)?;
    let mut candidates: Vec<&Candidate> = snapshot.candidates.iter().collect();
    candidates.sort_by(|a, b| a.name.cmp(&b.name));
    let clusters = candidates.into_iter().map(|candidate| report(candidate, &plan, &snapshot));
    let clusters = clusters.collect::<Result<Vec<_>, _>>()?;
    let asked = snapshot.request.replicas;
    Ok(Explanation {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        source,
        now: snapshot.now,
        asked,
        placed: asked - plan.unplaced,
        unplaced: plan.unplaced,
        ready: clusters.iter().map(|cluster| cluster.ready).sum(),
        placeable: placeable(&snapshot)?,
        clusters,
        plan,
        snapshot,
    })
}

fn report(candidate: &Candidate, plan: &Plan, snapshot: &Snapshot) -> Result<ClusterReport, ParseExpressionError> {
    let assignment = plan.assignment(&candidate.name);
    let verdict = plan.verdicts.get(&candidate.name).unwrap_or(&Verdict::Eligible);
    Ok(ClusterReport {
        cluster: candidate.name.clone(),
        provider: candidate.provider,
        region: candidate.region.clone(),
        desired: assignment.map_or(0, |assignment| assignment.desired),
        decided: candidate.held.desired,
        ready: candidate.held.serving(),
        keeps: assignment.map_or(0, |assignment| assignment.retained),
        room: Some(candidate.room.replicas).filter(|room| *room < i64::from(i32::MAX)),
        finding: Finding::from(verdict),
        why: [Some(why(verdict, assignment)), load(candidate, snapshot)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; "),
        if_lifted: if_lifted(candidate, verdict, snapshot)?,
    })
}

/// What a strategy that goes by load goes by there.
fn load(candidate: &Candidate, snapshot: &Snapshot) -> Option<String> {
    let load = candidate.load.as_ref().filter(|load| load.is_fresh(snapshot.now))?;
    match snapshot.request.placement.strategy {
        Strategy::LeastConnection => Some(format!("{:.1} requests in flight", load.in_flight?)),
        Strategy::LeastResponseTime => Some(format!("first token after {:.3} s", load.time_to_first_token?)),
        Strategy::RoundRobin | Strategy::Weighted | Strategy::Spread | Strategy::Binpack | Strategy::Cheapest => None,
    }
}

fn if_lifted(
    candidate: &Candidate,
    verdict: &Verdict,
    snapshot: &Snapshot,
) -> Result<Option<IfLifted>, ParseExpressionError> {
    let Some(exclusion) = verdict.exclusion() else { return Ok(None) };
    let lifted = lifted(snapshot, &candidate.name, exclusion);
    let plan = place(&lifted)?;
    let desired = |plan: &Plan| plan.assignment(&candidate.name).map_or(0, |assignment| assignment.desired);
    let then = plan.verdicts.get(&candidate.name).filter(|verdict| verdict.exclusion().is_some());
    Ok(Some(IfLifted {
        desired: desired(&plan),
        anew: desired(&place(&anew(&lifted))?),
        unplaced: plan.unplaced,
        then: then.map(Finding::from),
    }))
}

/// Tries numbers of replicas: whole groups only, since a remainder is never placed.
fn placeable(snapshot: &Snapshot) -> Result<Placeable, ParseExpressionError> {
    let group = snapshot.request.placement.gang.as_ref().map_or(1, |gang| gang.group_size.max(1));
    let fits = |groups: i32| -> Result<bool, ParseExpressionError> {
        let mut asked = snapshot.clone();
        asked.request.replicas = groups * group;
        Ok(place(&asked)?.unplaced <= 0)
    };
    let ceiling = snapshot.request.replicas.max(0).saturating_add(FURTHER);
    let most = room_in_all(snapshot).min(ceiling) / group;
    if fits(most)? {
        return Ok(Placeable { replicas: most * group, at_least: most == ceiling / group });
    }
    let (mut some, mut too_many) = (0, most);
    while too_many - some > 1 {
        let middle = some + (too_many - some) / 2;
        if fits(middle)? { some = middle } else { too_many = middle }
    }
    Ok(Placeable { replicas: some * group, at_least: false })
}

/// No more can be placed than what runs and what there is room for.
fn room_in_all(snapshot: &Snapshot) -> i32 {
    let of = |candidate: &Candidate| candidate.room.replicas.saturating_add(candidate.held.in_force().into());
    let all = snapshot.candidates.iter().map(of).fold(0, i64::saturating_add);
    i32::try_from(all.max(0)).unwrap_or(i32::MAX)
}
