//! The verbs of the command line.

mod assemble;
mod bucket;
mod explain;
mod failure;
mod fetch;
mod fleet;
mod hub;
mod lineage;
mod mirror;
mod name;
mod progress;
mod rollout;
mod simulate;
mod store_url;
mod table;
mod target;
mod upload;
mod words;

use serde::Serialize;
use skyfleet_mirror::{ConnectOptions, RetryPolicy};
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(crate) use assemble::AssembleArgs;
pub(crate) use explain::ExplainArgs;
pub(crate) use fetch::FetchArgs;
pub(crate) use lineage::LineageArgs;
pub(crate) use mirror::MirrorArgs;
pub(crate) use name::name;
pub(crate) use rollout::RolloutArgs;
pub(crate) use simulate::SimulateArgs;
pub(crate) use upload::UploadArgs;

use failure::Failure;

/// What `--help` says of exit statuses.
const EXIT_STATUSES: &str = "\
Exit statuses:
  0  done, and the store confirmed it
  1  another failure
  2  wrong usage
  3  a local file is missing, or cannot be read or written
  4  no credentials were found
  5  the store refused the credentials
  6  the bucket is missing
  7  the store is unreachable
  8  the content is not what it should be
  9  done in part: what was left out, and why, is on standard error";

/// What `--help` says of exit statuses of verbs that ask the hub.
const HUB_EXIT_STATUSES: &str = "\
Exit statuses:
  0  done
  1  a rollout has failed, the hub refuses or cannot be reached, or another failure
  2  wrong usage
  6  there is no such ModelDeployment";

/// A verb of the command line.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Put a file into a bucket, and say so only when the store has confirmed it
    Upload(UploadArgs),
    /// Bring a verified dataset to a directory
    Fetch(FetchArgs),
    /// Bring all parts of a dataset that is split to a directory
    Assemble(AssembleArgs),
    /// Make what is in a bucket the same in others, and prove each copy
    // By far the largest.
    Mirror(Box<MirrorArgs>),
    /// What a dataset was made of, when, and by which steps, as far upstream as it is known
    Lineage(LineageArgs),
    /// Why each replica of a model is where it is, why not elsewhere, and what would change it
    Explain(ExplainArgs),
    /// Decide with no cluster at all: where replicas would go, and what a failure or another number would change
    Simulate(SimulateArgs),
    /// How a change goes over the clusters, and how it is held and taken back
    Rollout(RolloutArgs),
}

impl Verb {
    /// Runs the verb. An interrupt ends a transfer in order, and anything else at once.
    pub(crate) async fn run(self) -> ExitCode {
        let outcome = match self {
            Self::Upload(arguments) => arguments.run(&until_interrupted()).await,
            Self::Fetch(arguments) => arguments.run(&until_interrupted()).await,
            Self::Assemble(arguments) => arguments.run(&until_interrupted()).await,
            Self::Mirror(arguments) => arguments.run(&until_interrupted()).await,
            Self::Lineage(arguments) => arguments.run(&until_interrupted()).await,
            Self::Explain(arguments) => arguments.run().await,
            Self::Simulate(arguments) => arguments.run(),
            Self::Rollout(arguments) => arguments.run().await,
        };
        match outcome {
            Ok(answer) => {
                say(&answer);
                ExitCode::SUCCESS
            }
            Err(failure) => {
                eprintln!("skyfleet: {failure}");
                ExitCode::from(failure.exit_status())
            }
        }
    }
}

/// Says it on standard output. Who stops listening, as `head` does, has heard enough.
fn say(answer: &str) {
    let _closed = writeln!(std::io::stdout(), "{answer}");
}

/// An answer for programs.
fn json(answer: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(answer)
        .map_err(|error| Failure::Manifest { place: "the answer".to_owned(), reason: error.to_string() })
}

/// Cancelled by an interrupt, or by the request to end that Kubernetes sends.
pub(crate) fn until_interrupted() -> CancellationToken {
    let cancel = CancellationToken::new();
    let interrupted = cancel.clone();
    tokio::spawn(async move {
        interruption().await;
        interrupted.cancel();
    });
    cancel
}

fn connect_options(retry_seconds: u64) -> ConnectOptions {
    let retry = RetryPolicy { budget: Duration::from_secs(retry_seconds), ..RetryPolicy::default() };
    ConnectOptions { retry, ..ConnectOptions::default() }
}

/// Ctrl-C, or the request to end that Kubernetes sends. Without a signal handler it never comes.
async fn interruption() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => (),
        _ = terminate.recv() => (),
    }
}
