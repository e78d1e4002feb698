//! `skyfleet mirror` against a peer, in turns, on the same buckets of the same server.
//!
//! CPU time is that of the program under test alone; the server's is not in it. Times in seconds include a server that shares the
//! machine, so that they say little where the machine is small.

mod program;
mod scenario;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use skyfleet_e2e::object_store::ObjectStore;

use program::Program;
use scenario::{Scenario, figures};

/// Measure skyfleet mirror, in turns with s3sync where it is given
#[derive(Parser)]
struct Arguments {
    /// Small objects
    #[arg(long, default_value_t = 5_000)]
    objects: usize,
    /// Bytes of each
    #[arg(long, default_value_t = 10 * 1024)]
    size: usize,
    /// How often each program copies, and how often it finds nothing to do
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Skyfleet's program; the `skyfleet` beside this one if not given
    #[arg(long)]
    skyfleet: Option<PathBuf>,
    /// s3sync's program
    #[arg(long)]
    s3sync: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mirror-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(arguments: &Arguments) -> Result<(), String> {
    let beside = || std::env::current_exe().map(|path| path.with_file_name("skyfleet"));
    let skyfleet = match &arguments.skyfleet {
        Some(path) => path.clone(),
        None => beside().map_err(|error| format!("cannot find this program: {error}"))?,
    };
    let mut programs = vec![Program::Skyfleet(skyfleet)];
    programs.extend(arguments.s3sync.clone().map(Program::S3sync));
    let folder = tempfile::tempdir().map_err(|error| format!("cannot make a folder: {error}"))?;
    let store = ObjectStore::on_loopback(folder.path().to_owned()).map_err(|error| error.to_string())?;
    let running = store.start().await.map_err(|error| error.to_string())?;
    let scenario = Scenario { objects: arguments.objects, size: arguments.size, rounds: arguments.rounds };
    let found = scenario.run(&running.store, &programs).await?;
    for figure in figures(&scenario, &programs, &found) {
        figure.print();
    }
    Ok(())
}
