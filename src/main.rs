//! Skyfleet: a Kubernetes operator for AI systems that live in several clouds at once. One binary, several roles.

mod buckets;
mod cli;
mod gateway;
mod lb_agent;
mod operator;
mod quantity;
mod routing;
mod transform;
mod watching;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// glibc gives memory back to the system whenever the end of a heap is free, and takes it again for the next piece of a large object: a
/// tenth of the CPU that its copy takes.
#[cfg(target_arch = "x86_64")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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
    /// Answer requests for models: send each to the best replica in any cluster, as the ModelRoutes on the hub say
    Gateway(gateway::GatewayArgs),
    /// Keep a load balancer on this machine to what the ModelRoutes on the hub say whose `spec.drivers` name it
    LbAgent(Box<lb_agent::LbAgentArgs>),
    /// Copy a part of a dataset: what the pods of a Job do that the operator makes
    Worker(worker::WorkerArgs),
    #[command(flatten)]
    Verb(cli::Verb),
}

#[tokio::main]
async fn main() -> ExitCode {
    match arguments().role {
        Role::Verb(verb) => Box::pin(verb.run()).await,
        Role::Worker(args) => {
            log(operator::LogFormat::Text);
            match Box::pin(args.run()).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!(%error, "the worker ended");
                    ExitCode::FAILURE
                }
            }
        }
        Role::Gateway(args) => {
            log(args.log_format);
            match Box::pin(gateway::route(args)).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!(%error, "the gateway ended");
                    ExitCode::FAILURE
                }
            }
        }
        Role::LbAgent(args) => {
            log(args.log_format);
            match Box::pin(lb_agent::keep(*args)).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!(%error, "the agent of the load balancer ended");
                    ExitCode::FAILURE
                }
            }
        }
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

/// The arguments; wrong ones, and `--help`, end the program.
fn arguments() -> Arguments {
    let name = cli::name(std::env::args_os().next().as_deref());
    let command = Arguments::command().bin_name(name);
    Arguments::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

/// What libraries log of failures that the operator handles, and says in a condition or a message of its own.
const QUIET: &str = "kube_client::client=off,kube_runtime::watcher=error";

/// Logs to standard error what RUST_LOG asks for, by default at level info.
fn log(format: operator::LogFormat) {
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.trim().is_empty());
    let wanted = wanted.unwrap_or_else(|| "info".to_owned());
    // What is said later wins: whoever asks for the quiet ones by name hears them.
    let filter = EnvFilter::new(format!("{QUIET},{wanted}"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        operator::LogFormat::Text => log.with_ansi(false).init(),
        operator::LogFormat::Json => log.json().init(),
    }
}
