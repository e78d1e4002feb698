//! The verbs of the command line.

mod bucket;
mod failure;
mod fetch;
mod progress;
mod upload;

use std::process::ExitCode;
use std::time::Duration;

use skyfleet_mirror::{ConnectOptions, RetryPolicy};
use tokio_util::sync::CancellationToken;

pub(crate) use fetch::FetchArgs;
pub(crate) use upload::UploadArgs;

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
  8  the content is not what it should be";

/// A verb of the command line.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Put a file into a bucket, and say so only when the store has confirmed it
    Upload(UploadArgs),
    /// Bring a verified dataset to a directory
    Fetch(FetchArgs),
}

impl Verb {
    /// Runs the verb; an interrupt ends it in order.
    pub(crate) async fn run(self) -> ExitCode {
        let cancel = CancellationToken::new();
        let interrupted = cancel.clone();
        tokio::spawn(async move {
            interruption().await;
            interrupted.cancel();
        });
        let outcome = match self {
            Self::Upload(arguments) => arguments.run(&cancel).await,
            Self::Fetch(arguments) => arguments.run(&cancel).await,
        };
        match outcome {
            Ok(line) => {
                println!("{line}");
                ExitCode::SUCCESS
            }
            Err(failure) => {
                eprintln!("skyfleet: {failure}");
                ExitCode::from(failure.exit_status())
            }
        }
    }
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
