//! Skyfleet: a Kubernetes operator for AI systems that live in several clouds at once. One binary, several roles.

mod buckets;
mod cli;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "skyfleet", version, about)]
struct Arguments {
    #[command(subcommand)]
    verb: cli::Verb,
}

#[tokio::main]
async fn main() -> ExitCode {
    Arguments::parse().verb.run().await
}
