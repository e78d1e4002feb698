//! The gateway beside NGINX, HAProxy and Apache httpd, in turns, in front of the same replicas.
//!
//! All have as many workers, keep connections open on both sides and log each request as JSON to a file. CPU time and memory are those
//! of the proxy alone; latencies include a client and replicas that share the machine's cores.

#[path = "../../src/figures.rs"]
#[allow(dead_code, reason = "the same lines as the other benchmarks', without all that these link")]
mod figures;
mod latency;
mod load;
mod process;
mod proxies;
mod replicas;
mod streams;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::{Parser, Subcommand};
use skyfleet_gateway::config::{Algorithm, BackendConfig, Config, Endpoint, EndpointConfig, Matching, RouteConfig};
use skyfleet_gateway::{Gateway, Serving, Sink};
use tokio_util::sync::CancellationToken;

use figures::Figure;
use proxies::{Kind, Proxy};
use replicas::Replicas;

/// As in the program.
#[cfg(target_arch = "x86_64")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measure the gateway, in turns with NGINX, HAProxy and Apache httpd, from Debian's packages
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    amounts: Amounts,
}

#[derive(Subcommand)]
enum Role {
    /// The proxy under test: this program runs itself so
    #[command(hide = true)]
    Serve { listen: SocketAddr, log: PathBuf, workers: usize, upstreams: Vec<u16> },
}

#[derive(clap::Args, Clone, Copy)]
struct Amounts {
    /// How often each proxy has its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each turn
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Connections of clients
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Workers of each proxy
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Streams that are open at once, for memory
    #[arg(long, default_value_t = 1000)]
    streams: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.role {
        Some(Role::Serve { listen, log, workers, upstreams }) => serve((listen, log, workers), &upstreams),
        None => measure(&arguments.amounts),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve((listen, log, workers): (SocketAddr, PathBuf, usize), upstreams: &[u16]) -> Result<(), String> {
    let gateway = Arc::new(Gateway::default());
    let endpoint = |port: &u16| {
        let name = format!("replica-{port}");
        let endpoint = Endpoint {
            cluster: "aws-1".to_owned(),
            name,
            host: "127.0.0.1".to_owned(),
            port: *port,
            is_relayed: false,
        };
        EndpointConfig { endpoint, weight: 1, egress_price: 0 }
    };
    let endpoints = upstreams.iter().map(endpoint).collect();
    let route = RouteConfig {
        name: "bench/all".to_owned(),
        matching: Matching { path_prefixes: vec!["/".to_owned()], ..Matching::default() },
        backends: vec![BackendConfig { name: "model".to_owned(), weight: 1, model: None, endpoints }],
        algorithm: Algorithm::LeastResponseTime,
        request_bytes: 16 << 20,
        ..RouteConfig::default()
    };
    gateway.configure(Config { routes: vec![route] });
    let file = std::fs::File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let log: Sink = Arc::new(Mutex::new(file));
    let (head, drain) = (Duration::from_secs(30), Duration::from_secs(5));
    let serving = Serving { listen, workers, log: Some(log), tls: None, head, drain };
    skyfleet_gateway::serve(&gateway, &serving, &CancellationToken::new())
        .map_err(|error| format!("cannot serve {listen}: {error}"))
}

fn measure(amounts: &Amounts) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| format!("cannot make a folder: {error}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let _within = runtime.enter();
    let replicas = Replicas::start(folder.path())?;
    let mut proxies = Vec::new();
    for kind in Kind::ALL {
        proxies.push(Proxy::start(kind, folder.path(), amounts.workers, &replicas)?);
    }
    for figure in load::cpu(&proxies, amounts)? {
        figure.print();
    }
    for figure in runtime.block_on(latency::added(&proxies, &replicas, amounts))? {
        figure.print();
    }
    for figure in runtime.block_on(streams::delays(&proxies, &replicas))? {
        figure.print();
    }
    for figure in runtime.block_on(streams::memory(&proxies, amounts))? {
        figure.print();
    }
    Ok(())
}

/// The gateway's figure beside each peer's: all values by their proxies.
fn compared(bench: &str, values: &[(Kind, f64)], unit: &'static str, bounds: &[(Kind, f64)]) -> Vec<Figure> {
    let ours = values.iter().find(|(kind, _)| *kind == Kind::Skyfleet).map(|(_, value)| *value);
    let mut figures = Vec::new();
    for (kind, value) in values.iter().filter(|(kind, _)| *kind != Kind::Skyfleet) {
        let mut figure = Figure::new(bench, ours, unit);
        figure.peer = Some(kind.name().to_owned());
        figure.ratio = ours.map(|ours| (ours / value * 1000.0).round() / 1000.0);
        if let Some((_, bound)) = bounds.iter().find(|(of, _)| of == kind) {
            figure.target = Some(*bound);
            figure.met = figure.ratio.map(|ratio| ratio <= *bound);
        }
        figures.push(figure.with("peer_value", (value * 1000.0).round() / 1000.0));
    }
    figures
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
