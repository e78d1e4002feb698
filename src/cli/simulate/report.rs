//! What was decided at each stage, in fields that stay.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use skyfleet_api::cluster::Provider;
use skyfleet_plan::capacity::{ModelKey, Resources};
use skyfleet_plan::placement::{Assignment, Exclusion, Plan, Verdict};

use super::world::World;
use crate::cli::fleet::{Basis, replicas};
use crate::cli::words::{Finding, why};

/// The outcome of a simulation. The names of its fields in JSON stay.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// The moment it began at.
    pub(super) now: Timestamp,
    pub(super) stages: Vec<Stage>,
    /// What was left out or assumed.
    pub(super) notes: Vec<String>,
}

/// One fixed point.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stage {
    /// `before`, `after` (what fails has failed, what is scaled is scaled) or `returned`.
    pub(super) name: &'static str,
    /// Whether decisions came to rest.
    pub(super) settled: bool,
    pub(super) clusters: Vec<ClusterReport>,
    pub(super) models: Vec<ModelReport>,
}

/// A cluster, all ModelDeployments together.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterReport {
    pub(super) cluster: String,
    pub(super) provider: Provider,
    pub(super) region: String,
    /// Whether it is heard.
    pub(super) heard: bool,
    /// How its room is known.
    pub(super) room: String,
    /// What is requested of it.
    pub(super) requested: Resources,
}

/// A ModelDeployment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelReport {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) asked: i32,
    pub(super) placed: i32,
    pub(super) unplaced: i32,
    /// Of those placed, the ones that stay with a lost cluster since no other has room for them.
    pub(super) stranded: i32,
    pub(super) strategy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) suspicion: Option<String>,
    /// Wishes that could not be met.
    pub(super) unmet: Vec<String>,
    /// Against the stage before.
    pub(super) moves: Moves,
    pub(super) placements: Vec<Placement>,
}

/// How many replicas a stage changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moves {
    /// Replicas more where there are more.
    pub(super) started: i32,
    /// Replicas fewer where there are fewer.
    pub(super) stopped: i32,
    /// The change of each cluster that has one.
    pub(super) by_cluster: BTreeMap<String, i32>,
}

/// The replicas of one ModelDeployment in one cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Placement {
    pub(super) cluster: String,
    pub(super) desired: i32,
    /// Replicas beyond those, kept until others serve in their place.
    pub(super) keeps: i32,
    #[serde(flatten)]
    pub(super) finding: Finding,
    pub(super) why: String,
}

/// What the world is like now.
pub(super) fn stage(name: &'static str, world: &World, before: Option<&Stage>) -> Stage {
    let clusters = world.fleet.clusters.iter().map(|(name, cluster)| ClusterReport {
        cluster: name.clone(),
        provider: cluster.spec.provider,
        region: cluster.spec.region.clone(),
        heard: !world.is_silent(name),
        room: world.books.bases().get(name).map_or_else(String::new, |basis| room(*basis)),
        requested: world.books.requested(name),
    });
    let clusters = clusters.collect();
    let models = world.plans.iter().map(|(key, plan)| model(key, plan, world, before)).collect();
    Stage { name, settled: world.settled, clusters, models }
}

fn model(key: &ModelKey, plan: &Plan, world: &World, before: Option<&Stage>) -> ModelReport {
    let asked = world.fleet.models.get(key).map(replicas).unwrap_or_default();
    let earlier = before.and_then(|stage| stage.models.iter().find(|model| model.is(key)));
    let placements: Vec<Placement> = world.fleet.clusters.keys().map(|name| placement(name, plan, world)).collect();
    ModelReport {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        asked,
        placed: asked - plan.unplaced,
        unplaced: plan.unplaced,
        stranded: placements.iter().filter(|placement| placement.finding.is_lost()).map(|lost| lost.desired).sum(),
        strategy: plan.strategy.clone(),
        suspicion: plan.suspicion.clone(),
        unmet: plan.unmet.clone(),
        moves: earlier.map(|earlier| moves(&earlier.placements, &placements)).unwrap_or_default(),
        placements,
    }
}

impl ModelReport {
    fn is(&self, key: &ModelKey) -> bool {
        self.namespace == key.namespace && self.name == key.name
    }
}

fn placement(cluster: &str, plan: &Plan, world: &World) -> Placement {
    let assignment = plan.assignment(cluster).filter(|assignment| assignment.desired + assignment.retained > 0);
    let verdict = plan.verdicts.get(cluster).unwrap_or(&Verdict::Eligible);
    let mut finding = Finding::from(verdict);
    let mut why = why(verdict, assignment);
    if let (true, Some(exclusion)) = (world.failed.contains(cluster), verdict.exclusion()) {
        // The times of a simulated loss say nothing.
        why = lost(exclusion, assignment.map_or(0, |assignment| assignment.desired));
        finding.message = Some(why.clone());
        finding.remedy = None;
    }
    Placement {
        cluster: cluster.to_owned(),
        desired: assignment.map_or(0, |assignment| assignment.desired),
        keeps: assignment.map_or(0, |assignment: &Assignment| assignment.retained),
        finding,
        why,
    }
}

fn lost(exclusion: &Exclusion, desired: i32) -> String {
    match exclusion {
        Exclusion::Lost { .. } if desired > 0 => {
            format!("lost (--fail), and no other cluster has room for {desired} of its replicas")
        }
        Exclusion::Lost { .. } => "lost (--fail): its replicas are made elsewhere".to_owned(),
        _ => "not heard (--fail): what it has is left as it is".to_owned(),
    }
}

fn moves(before: &[Placement], after: &[Placement]) -> Moves {
    let mut moves = Moves::default();
    for (before, after) in before.iter().zip(after) {
        let change = after.desired - before.desired;
        moves.started += change.max(0);
        moves.stopped += (-change).max(0);
        if change != 0 {
            moves.by_cluster.insert(after.cluster.clone(), change);
        }
    }
    moves
}

fn room(basis: Basis) -> String {
    let s = |count: i64| if count == 1 { "" } else { "s" };
    match basis {
        Basis::Nodes(count) => format!("{count} Node{}", s(i64::try_from(count).unwrap_or_default())),
        Basis::Status(count) => format!("{count} node{}, by its status", s(count.into())),
        Basis::Elastic => "elastic: only its limits bound it".to_owned(),
        Basis::Nothing => "not told: only its limits bound it".to_owned(),
    }
}
