//! `fleet-bench`: the operator against a hub of the lab and a fleet of simulated members. One JSON object a figure on standard
//! output; what is going on, on standard error.

mod audit;
mod changes;
mod error;
mod fleet;
mod hub;
mod ledger;
mod models;
mod operator;
mod restart;
mod usage;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use skyfleet_bench::figures::Figure;
use skyfleet_bench::member::Behaviour;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use changes::Load;
use error::BenchError;
use fleet::Fleet;
use hub::Hub;
use models::{Book, Models};
use operator::{Operator, Program};
use restart::{Ending, Identities, restart};

/// How fast the operator's decisions reach a fleet of simulated members, and how fast it works again after a restart
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Member clusters
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    members: u16,
    /// ModelDeployments
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=9999))]
    models: u16,
    /// Changes a second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Seconds of changes, three times: all members answer, some stop to, some have stopped
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Members that become black holes; none leaves that part out
    #[arg(long, default_value_t = 10)]
    black_holed: u16,
    /// Of everything that is left to chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Nodes of each member
    #[arg(long, default_value_t = 50)]
    nodes: u16,
    /// Milliseconds from a write of a Deployment to its being ready
    #[arg(long, default_value_t = 500)]
    ready_after: u64,
    /// Leave the restarts out
    #[arg(long)]
    no_restarts: bool,
    /// The operator's program; the `skyfleet` beside this one if not given
    #[arg(long)]
    operator: Option<PathBuf>,
    /// Where the operator's log goes, to be kept
    #[arg(long)]
    operator_log: Option<PathBuf>,
    /// Further arguments of the operator
    #[arg(last = true)]
    further: Vec<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,skyfleet_e2e=info,kube_client=off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let outcome = tokio::select! {
        outcome = bench(Arguments::parse()) => outcome,
        () = interrupted() => Err(BenchError::Interrupted),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The lab is ended also when a person or a CI system ends the benchmark.
async fn interrupted() {
    let listen = || Ok::<_, std::io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?));
    let Ok((mut interrupt, mut terminate)) = listen() else { return std::future::pending().await };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn bench(arguments: Arguments) -> Result<(), BenchError> {
    let start = Instant::now();
    let step = |what: &str| eprintln!("[{:>4} s] {what}", start.elapsed().as_secs());
    let program = Program {
        path: program(&arguments)?,
        arguments: arguments.further.clone(),
        log: arguments.operator_log.clone(),
    };
    let load = Load { rate: arguments.rate, time: Duration::from_secs(arguments.seconds) };
    let members = usize::from(arguments.members);
    let print = |figures: Vec<Figure>, black_holed: u16| {
        for figure in figures {
            figure.with("members", members).with("models", arguments.models).with("black_holed", black_holed).print();
        }
    };
    let random = fastrand::Rng::with_seed(arguments.seed);

    let hub = Hub::start().await?;
    let book = Book::default();
    let behaviour =
        Behaviour { nodes: usize::from(arguments.nodes), ready_after: Duration::from_millis(arguments.ready_after) };
    let mut fleet = Fleet::start(&hub, members, &behaviour, &book.observer()).await?;
    let models = Arc::new(Models::watch(&hub, book, usize::from(arguments.models)));
    step("the hub is up, and the members listen");
    let identities = Identities::default();
    let operator = Operator::start(&program, &hub, &identities.current())?;
    fleet.until_ready(&hub).await?;
    let ready = operator.started.elapsed();
    print(vec![Figure::seconds("fleet.members_ready", Some(ready))], 0);
    step("the operator has all members Ready; making the ModelDeployments");
    let made = Instant::now();
    models.create(&hub, members).await?;
    models.until_settled().await?;
    print(vec![Figure::seconds("fleet.models_ready", Some(made.elapsed()))], 0);

    step("all ModelDeployments are Ready; changing them");
    let mut run = Run { operator, models, hub, program, identities, random, load };
    print(run.changes("fleet").await?, 0);
    if !arguments.no_restarts {
        print(run.restarts("fleet", step).await?, 0);
    }
    let black_holed = arguments.black_holed.min(arguments.members);
    if black_holed == 0 {
        return Ok(());
    }

    step(&format!("{black_holed} members become black holes while changes go on"));
    let silent = fleet.make_black_holes(usize::from(black_holed), &mut run.random);
    run.models.book.open().ignore(silent);
    print(run.changes("fleet.losing").await?, black_holed);
    fleet.until_lost(&run.hub).await?;
    step("the black holes are known; changing on");
    print(run.changes("fleet.black_holed").await?, black_holed);
    if !arguments.no_restarts {
        print(run.restarts("fleet.black_holed", step).await?, black_holed);
    }
    step("done; ending the lab");
    Ok(())
}

fn program(arguments: &Arguments) -> Result<PathBuf, BenchError> {
    if let Some(path) = &arguments.operator {
        return Ok(path.clone());
    }
    let own = std::env::current_exe().map_err(BenchError::io("find the own program"))?;
    Ok(own.with_file_name("skyfleet"))
}

/// What is measured over and over.
struct Run {
    operator: Operator,
    models: Arc<Models>,
    hub: Hub,
    program: Program,
    identities: Identities,
    random: fastrand::Rng,
    load: Load,
}

impl Run {
    /// Changes, from a calm start.
    async fn changes(&mut self, prefix: &str) -> Result<Vec<Figure>, BenchError> {
        let outcome = changes::run(self.load, (&self.hub, &self.models), &mut self.operator, &mut self.random).await?;
        Ok(outcome.figures(prefix))
    }

    /// One restart of each sort.
    async fn restarts(&mut self, prefix: &str, step: impl Fn(&str)) -> Result<Vec<Figure>, BenchError> {
        let mut figures = Vec::new();
        for ending in Ending::ALL {
            self.models.until_settled().await?;
            step(&format!("the operator is {ending:?} and started anew"));
            let context = (&self.program, &self.hub, &*self.models);
            figures.extend(restart(&mut self.operator, ending, context, &mut self.identities, prefix).await?);
        }
        Ok(figures)
    }
}
