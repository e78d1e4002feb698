//! Skyfleet: a Kubernetes operator for AI systems that live in several clouds at once. One binary, several roles.

mod buckets;
mod cli;
mod operator;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(name = "skyfleet", version, about)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Run the operator: watch the hub and make the fleet as the custom resources say
    Operator(operator::OperatorArgs),
    #[command(flatten)]
    Verb(cli::Verb),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().role {
        Role::Verb(verb) => verb.run().await,
        Role::Operator(args) => {
            log(args.log_format);
            match operator::operate(args).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!(%error, "the operator ended");
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// Logs to standard error, by default at level info.
fn log(format: operator::LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // For each object of several parts the SDK warns that it can't check the store's checksum; the engine checks its own.
    let filter = match "aws_sdk_s3::http_response_checksum=error".parse() {
        Ok(quiet) => filter.add_directive(quiet),
        Err(_) => filter,
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        operator::LogFormat::Text => log.with_ansi(false).init(),
        operator::LogFormat::Json => log.json().init(),
    }
}
