//! `demo`: the main job on real clusters, from nothing to a model that answers in three clouds.

mod show;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use skyfleet_e2e::artifacts::MODEL_FILES;
use skyfleet_e2e::fleet::{Artifacts, BUCKETS, Fleet, HUB, NAMESPACE};
use skyfleet_e2e::{Backend, LabError, install};
use tokio::time::sleep;

/// The lab's name, so that the `lab` program finds it by default.
const NAME: &str = "demo";
/// For one step of the fleet on a loaded machine.
const LIMIT: Duration = Duration::from_mins(5);

/// The main job of Skyfleet on real clusters on this machine
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a fleet, mirror a model's weights, serve it in three clusters
    Up {
        /// Install missing packages without asking
        #[arg(long)]
        yes: bool,
    },
    /// End it all and leave nothing behind
    Down,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Up { yes } => up(yes).await,
        Verb::Down => skyfleet_e2e::remove(NAME)
            .await
            .map(|()| println!("the demo is gone: no process, mount, namespace or link is left")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn up(yes: bool) -> Result<(), LabError> {
    let started = Instant::now();
    let step = |what: &str| println!("[{:>3} s] {what}", started.elapsed().as_secs());
    install::install(Backend::for_lab(NAME, None).await?, true, yes)?;
    step("building what is not in the cache yet (cold about fifteen minutes, warm seconds)");
    let artifacts = Artifacts::build().await?;
    step("starting the fleet");
    let fleet = Fleet::up(NAME, artifacts, step).await?;
    let manifests = fleet.manifests()?;

    fleet.apply(HUB, &manifests.clusters).await?;
    fleet.apply(HUB, &manifests.buckets).await?;
    until(&fleet, "cluster", "--all", "Ready").await?;
    until(&fleet, "bucket", "--all", "Ready").await?;
    step("Clusters and Buckets are Ready");

    for file in &MODEL_FILES {
        let path = fleet.artifacts.model.join(file.name);
        let said = fleet.upload(&path, BUCKETS[0], &format!("minilm/{}", file.name)).await?;
        step(said.trim());
    }
    fleet.apply(HUB, &manifests.dataset_replica).await?;
    fleet.apply(HUB, &manifests.model_deployment).await?;
    until(&fleet, "datasetreplica", "minilm", "Ready").await?;
    step("the weights are mirrored to the other two clouds, each object verified");
    until(&fleet, "modeldeployment", "minilm", "Ready").await?;
    step("six replicas serve the model, two in each cluster");
    show::summary(&fleet, Path::new("examples")).await
}

/// Waits for a condition and says, each time it changes, what is waited for.
async fn until(fleet: &Fleet, kind: &str, name: &str, condition: &str) -> Result<(), LabError> {
    let started = Instant::now();
    let message = format!(
        "jsonpath={{range .items[*]}}{{.status.conditions[?(@.type==\"{condition}\")].status}}\t{{.metadata.name}}: \
         {{.status.conditions[?(@.type==\"{condition}\")].message}}\n{{end}}"
    );
    let selection = if name == "--all" { String::new() } else { format!("metadata.name={name}") };
    let mut said = String::new();
    loop {
        let arguments = ["get", kind, "-n", NAMESPACE, "--field-selector", &selection, "-o", &message];
        let listed = fleet.kubectl(HUB, &arguments, "").await?;
        let waiting: Vec<&str> = listed
            .lines()
            .filter(|line| !line.starts_with("True\t"))
            .map(|line| line.split_once('\t').map_or(line, |(_, rest)| rest))
            .collect();
        if waiting.is_empty() && !listed.is_empty() {
            return Ok(());
        }
        let waits = waiting.join("\n        ");
        if waits != said {
            println!("        {waits}");
            said = waits;
        }
        if started.elapsed() > LIMIT {
            return Err(LabError::Missing(format!(
                "the {kind} did not become {condition} within {} s: {said}\nlook with: kubectl describe {kind}",
                LIMIT.as_secs()
            )));
        }
        sleep(Duration::from_millis(500)).await;
    }
}
