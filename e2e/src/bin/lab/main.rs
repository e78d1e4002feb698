//! `lab`: real Kubernetes clusters on this machine, for the demo and for trying things out.

mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use skyfleet_e2e::{Backend, ClusterSpec, Lab, LabError, LabSpec, install};
use tracing_subscriber::EnvFilter;

/// Real Kubernetes clusters on this machine
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The lab; several run side by side under different names
    #[arg(long, global = true, default_value = "demo")]
    name: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install the packages that a lab with pods needs
    Install {
        /// Without asking
        #[arg(long)]
        yes: bool,
        /// Those of load balancers instead, and of what measures them
        #[arg(long)]
        balancers: bool,
        /// Those of a browser instead, which tests of pages need
        #[arg(long, conflicts_with = "balancers")]
        browsers: bool,
        #[command(flatten)]
        choice: Choice,
    },
    /// Start the lab, or what of it does not run
    Up(Up),
    /// End the lab and leave nothing of it
    Down,
    /// Show the clusters
    Status,
    /// Print the path of a cluster's kubeconfig
    Kubeconfig {
        /// The cluster
        cluster: String,
        /// Print the content instead
        #[arg(long)]
        print: bool,
    },
    /// Stop a cluster as a power cut does
    Stop(Part),
    /// Start a stopped cluster from its data
    Start(Part),
    /// Cut a cluster off from the machine and the other clusters
    Partition {
        /// The cluster
        cluster: String,
    },
    /// Connect a cluster again
    Heal {
        /// The cluster
        cluster: String,
    },
    /// Put an image archive onto the nodes
    LoadImage {
        /// An OCI or Docker archive
        archive: PathBuf,
        /// The clusters; all that have nodes if none is named
        clusters: Vec<String>,
    },
}

#[derive(Args)]
struct Up {
    /// How many clusters: hub, aws-1, gcp-1, azure-1, then member-4 and on
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    clusters: u8,
    /// The clusters by name instead
    #[arg(long = "cluster", conflicts_with = "clusters")]
    named: Vec<String>,
    /// Control planes only: up in seconds, and nothing runs on them; clusters by kind have nodes all the same
    #[arg(long)]
    no_pods: bool,
    /// Install missing packages without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    choice: Choice,
}

#[derive(Args)]
struct Choice {
    /// What makes the clusters; without it, and without SKYFLEET_LAB_BACKEND: kind where Docker and kind are there
    #[arg(long, value_enum)]
    backend: Option<Backend>,
}

#[derive(Args)]
struct Part {
    /// The cluster
    cluster: String,
    /// Only API server, etcd, controller manager and scheduler; the pods go on
    #[arg(long)]
    control_plane: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("skyfleet_e2e=info"));
    tracing_subscriber::fmt().with_env_filter(filter).without_time().with_target(false).with_level(false).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { name, verb }: Arguments) -> Result<(), LabError> {
    let open = || Lab::open(&name);
    match verb {
        Verb::Install { yes, balancers: true, .. } => install::install_balancers(yes),
        Verb::Install { yes, browsers: true, .. } => install::install_browsers(yes),
        Verb::Install { yes, choice, .. } => {
            install::install(Backend::for_lab(&name, choice.backend).await?, true, yes)
        }
        Verb::Up(up) => start(name, up).await,
        Verb::Down => skyfleet_e2e::remove(&name).await,
        Verb::Status => status::print(&name).await,
        Verb::Kubeconfig { cluster, print } => kubeconfig(&open()?, &cluster, print),
        Verb::Stop(Part { cluster, control_plane: false }) => open()?.stop(&cluster).await,
        Verb::Stop(Part { cluster, control_plane: true }) => open()?.stop_control_plane(&cluster).await,
        Verb::Start(Part { cluster, control_plane: false }) => open()?.start(&cluster).await,
        Verb::Start(Part { cluster, control_plane: true }) => open()?.start_control_plane(&cluster).await,
        Verb::Partition { cluster } => open()?.partition(&cluster).await,
        Verb::Heal { cluster } => open()?.heal(&cluster).await,
        Verb::LoadImage { archive, clusters } => load_image(&open()?, &archive, clusters).await,
    }
}

async fn start(name: String, up: Up) -> Result<(), LabError> {
    let backend = Backend::for_lab(&name, up.choice.backend).await?;
    install::install(backend, !up.no_pods, up.yes)?;
    let names = if up.named.is_empty() { default_names(up.clusters) } else { up.named };
    let clusters = names.into_iter().map(|name| ClusterSpec { name, pods: !up.no_pods }).collect();
    let lab = Lab::up_on(backend, LabSpec { name, clusters }).await?;
    for cluster in lab.clusters() {
        println!("kubectl --kubeconfig {} get nodes", cluster.kubeconfig().display());
    }
    Ok(())
}

fn default_names(count: u8) -> Vec<String> {
    let clouds = ["hub", "aws-1", "gcp-1", "azure-1"].map(str::to_owned);
    clouds.into_iter().chain((4..).map(|number| format!("member-{number}"))).take(count.into()).collect()
}

fn kubeconfig(lab: &Lab, cluster: &str, print: bool) -> Result<(), LabError> {
    let path = lab.cluster(cluster)?.kubeconfig();
    if !print {
        println!("{}", path.display());
        return Ok(());
    }
    let content = std::fs::read_to_string(&path);
    print!("{}", content.map_err(|source| LabError::File { action: "read", path, source })?);
    Ok(())
}

async fn load_image(lab: &Lab, archive: &std::path::Path, clusters: Vec<String>) -> Result<(), LabError> {
    let all = || {
        lab.clusters().iter().filter(|cluster| cluster.has_node()).map(|cluster| cluster.name().to_owned()).collect()
    };
    for cluster in if clusters.is_empty() { all() } else { clusters } {
        lab.load_image(&cluster, archive).await?;
        println!("{cluster} has {}", archive.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn clouds_come_first_and_names_never_end() {
        assert_eq!(default_names(3), ["hub", "aws-1", "gcp-1"]);
        assert_eq!(default_names(6)[4..], ["member-4", "member-5"]);
    }
}
