//! `skyfleet mirror` against its peers, in turns, on the same buckets of the same server.
//!
//! The server is in this process and in memory: what is measured is the programs. CPU time and memory are those of the program
//! under test alone. Times in seconds include a server that shares the machine's cores.

mod measured;
mod program;
mod scenario;
mod small;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use skyfleet_e2e::object_store::SimulatedS3;

use program::Program;
use scenario::Bench;

/// Measure skyfleet mirror, in turns with the peers that are given
#[derive(Parser)]
struct Arguments {
    /// Small objects, of 10 KiB
    #[arg(long, default_value_t = 20_000)]
    objects: usize,
    /// Small objects at a server that is 20 ms away
    #[arg(long, default_value_t = 2_000)]
    distant: usize,
    /// Large objects, of 64 MiB
    #[arg(long, default_value_t = 40)]
    large: usize,
    /// Keys on each side where nothing is to do
    #[arg(long, default_value_t = 1_000_000)]
    keys: usize,
    /// How often each program does each of these
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Speak TLS with the server, as with those of the clouds
    #[arg(long)]
    tls: bool,
    /// Skyfleet's program; the `skyfleet` beside this one if not given
    #[arg(long)]
    skyfleet: Option<PathBuf>,
    /// s3sync's program
    #[arg(long)]
    s3sync: Option<PathBuf>,
    /// rclone's program
    #[arg(long)]
    rclone: Option<PathBuf>,
}

fn main() -> ExitCode {
    // Run as a program that runs another one and says what that took.
    if let Some(status) = measured::run_other() {
        return status;
    }
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
    programs.extend(arguments.rclone.clone().map(Program::Rclone));
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let certificate = arguments.tls.then(|| folder.path().join("certificate.pem"));
    let server = match &certificate {
        Some(certificate) => SimulatedS3::start_with_tls(certificate).await,
        None => SimulatedS3::start().await,
    };
    let server = server.map_err(|error| error.to_string())?;
    let bench = Bench { server, certificate, programs, rounds: arguments.rounds };
    if arguments.objects > 0 {
        bench.small("mirror.small", arguments.objects, 0).await?;
    }
    if arguments.distant > 0 {
        bench.small("mirror.distant", arguments.distant, 20).await?;
    }
    if arguments.large > 0 {
        bench.large(arguments.large).await?;
        bench.fan_out(arguments.large).await?;
    }
    if arguments.keys > 0 {
        bench.settled(arguments.keys).await?;
    }
    Ok(())
}
