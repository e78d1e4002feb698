//! `skyfleet simulate`: decisions with no cluster at all, by the very functions that the operator asks.

mod files;
mod manifests;
mod render;
mod report;
#[cfg(test)]
mod tests;
mod wishes;
mod world;

use std::path::PathBuf;

use clap::ValueEnum;
use jiff::Timestamp;
use skyfleet_api::conditions::whole_seconds;

use super::failure::Failure;
use super::fleet::{Basis, Fleet, Moment, replicas};
use manifests::Manifests;
use report::{Report, Stage, stage};
use wishes::{Scale, check_clusters, scales};
use world::World;

/// What `--help` says of exit statuses.
const EXIT_STATUSES: &str = "\
Exit statuses:
  0  it was decided, whether all replicas are placed or not
  1  another failure
  2  wrong usage, such as a cluster that is not there
  3  with --strict: replicas are placed nowhere, or stay with a lost cluster
  4  a file is missing, cannot be read, or is no manifest";

/// Decide with no cluster at all: where replicas would go, and what a failure or another number would change
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_STATUSES)]
pub(crate) struct SimulateArgs {
    /// A file or folder with manifests, or - for standard input. Clusters, ModelDeployments, DatasetReplicas, Buckets, and
    /// Nodes with the label skyfleet.dev/member-cluster count; what `kubectl get -o yaml` gives will do, status included
    #[arg(short, long = "filename", value_name = "PATH", required = true)]
    files: Vec<PathBuf>,
    /// Lose this cluster, for longer than any grace period. Several are lost together
    #[arg(long, value_name = "CLUSTER")]
    fail: Vec<String>,
    /// Then have this lost cluster return, and stay
    #[arg(long = "return", value_name = "CLUSTER")]
    back: Vec<String>,
    /// Ask for another number of replicas
    #[arg(long, value_name = "[NAMESPACE/]NAME=REPLICAS")]
    scale: Vec<Scale>,
    /// The moment, which matters to what a status tells [default: now]
    #[arg(long, value_name = "RFC3339")]
    now: Option<Timestamp>,
    /// As the operator's flag: the share of all clusters that may fall silent at once, in percent, before the hub suspects
    /// its own network
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=100))]
    max_lost_percent: u8,
    /// The form of the answer
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Fail if a replica is placed nowhere at the end, or stays with a lost cluster
    #[arg(long)]
    strict: bool,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

impl SimulateArgs {
    pub(super) fn run(self) -> Result<String, Failure> {
        let manifests = Manifests::read(&files::read(&self.files)?)?;
        let report = self.simulate(manifests)?;
        let answer = match self.output {
            Output::Table => {
                report.notes.iter().for_each(|note| eprintln!("note: {note}"));
                render::text(&report)
            }
            Output::Json => super::json(&report)?,
        };
        let unplaced = report.stages.last().map_or(0, Stage::unplaced);
        if self.strict && unplaced > 0 {
            super::say(&answer);
            return Err(Failure::Unplaced(unplaced));
        }
        Ok(answer)
    }

    fn simulate(&self, manifests: Manifests) -> Result<Report, Failure> {
        let Manifests { fleet, mut notes, .. } = manifests;
        for (kind, none) in [("Cluster", fleet.clusters.is_empty()), ("ModelDeployment", fleet.models.is_empty())] {
            if none {
                return Err(Failure::Usage(format!("-f: there is no {kind} among the files")));
            }
        }
        check_clusters(&fleet, "--fail", &self.fail)?;
        check_clusters(&fleet, "--return", &self.back)?;
        let scales = scales(&fleet, &self.scale)?;
        let now = whole_seconds(self.now.unwrap_or_else(Timestamp::now));
        let moment = Moment { now, max_lost_share: f64::from(self.max_lost_percent) / 100.0 };
        let (mut world, refused) = World::new(fleet, moment);
        notes.extend(refused);
        notes.extend(assumptions(&world));
        world.settle();
        let mut stages = vec![stage("before", &world, None)];
        if !self.fail.is_empty() || !scales.is_empty() {
            world.change(&self.fail, &scales);
            stages.push(stage("after", &world, stages.last()));
        }
        if !self.back.is_empty() {
            if let Some(there) = self.back.iter().find(|name| !world.is_silent(name)) {
                let message = format!("--return: {there:?} is not lost: name it in --fail too, or give its status");
                return Err(Failure::Usage(message));
            }
            world.bring_back(&self.back);
            stages.push(stage("returned", &world, stages.last()));
        }
        Ok(Report { now, stages, notes })
    }
}

impl Stage {
    /// Replicas that serve nowhere.
    fn unplaced(&self) -> i32 {
        self.models.iter().map(|model| model.unplaced.max(0) + model.stranded).sum()
    }
}

/// What is taken for granted because nothing is told of it.
fn assumptions(world: &World) -> Vec<String> {
    let mut notes = Vec::new();
    let untold = world.books.bases().iter().filter(|(_, basis)| **basis == Basis::Nothing);
    let untold: Vec<&str> = untold.map(|(name, _)| name.as_str()).collect();
    if !untold.is_empty() {
        let names = untold.join(", ");
        notes.push(format!("nothing tells the room of {names}: neither Nodes nor a status; only limits bound it"));
    }
    for (key, model) in &world.fleet.models {
        let name = format!("ModelDeployment {}/{}", key.namespace, key.name);
        if let Some((_, dataset)) = Fleet::dataset_key(key, model).filter(|key| !world.fleet.datasets.contains_key(key))
        {
            notes.push(format!(
                "{name}: its DatasetReplica {dataset:?} is not told: its data is taken to be everywhere"
            ));
        }
        if model.spec.autoscaling.is_some() {
            let number = replicas(model);
            notes.push(format!("{name}: load decides its number of replicas; without load it is taken to be {number}"));
        }
        for bucket in world.fleet.missing_buckets(key, model) {
            notes.push(format!(
                "{name}: the Bucket {bucket:?} of its dataset is not told: it is taken to be near nothing"
            ));
        }
        if world.books.wishes_are_unchecked(key) {
            notes.push(format!("{name}: what it wants of nodes' labels is not checked where there are no Nodes"));
        }
    }
    notes
}
