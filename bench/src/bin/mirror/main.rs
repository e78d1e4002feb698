//! `skyfleet mirror` against its peers, in turns, on the same buckets of the same server.
//!
//! The server is in this process and in memory, except Azure's, which is Azurite: what is measured is the programs. CPU time and
//! memory are those of the program under test alone. Times in seconds include a server that shares the machine's cores.

mod commands;
mod install;
mod measured;
mod program;
mod report;
mod scenario;
mod upload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use skyfleet_e2e::object_store::{SimulatedS3, azurite_script};

use program::{Peer, Program, Surroundings};
use scenario::{Bench, Objects};

/// Measure skyfleet mirror, in turns with its peers, which are installed into Skyfleet's cache
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
    /// Objects of 512 MiB at a server that gives each connection 50 MB a second
    #[arg(long, default_value_t = 1)]
    bounded: usize,
    /// Keys on each side where nothing is to do
    #[arg(long, default_value_t = 1_000_000)]
    keys: usize,
    /// Small objects for Azure's emulator
    #[arg(long, default_value_t = 2_000)]
    azure: usize,
    /// Large objects for Azure's emulator, which keeps them in 1 GiB
    #[arg(long, default_value_t = 8)]
    azure_large: usize,
    /// How often each program does each of these
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Speak TLS with the S3 server, as with those of the clouds
    #[arg(long)]
    tls: bool,
    /// The peers to measure beside it, separated by commas; all if not given
    #[arg(long, value_delimiter = ',', conflicts_with = "alone")]
    peers: Vec<Peer>,
    /// Without any peer
    #[arg(long)]
    alone: bool,
    /// Skyfleet's program; the `skyfleet` beside this one if not given
    #[arg(long)]
    skyfleet: Option<PathBuf>,
    /// s3sync's program, if not the one to be installed
    #[arg(long)]
    s3sync: Option<PathBuf>,
    /// rclone's program, if not the one to be installed
    #[arg(long)]
    rclone: Option<PathBuf>,
    /// s5cmd's program, if not the one to be installed
    #[arg(long)]
    s5cmd: Option<PathBuf>,
    /// The AWS CLI's program, if not the one to be installed
    #[arg(long)]
    awscli: Option<PathBuf>,
    /// AzCopy's program, if not the one to be installed
    #[arg(long)]
    azcopy: Option<PathBuf>,
}

fn main() -> ExitCode {
    // Run as a program that runs another one and says what that took.
    if let Some(status) = measured::run_other() {
        return status;
    }
    let arguments = Arguments::parse();
    match programs(&arguments).and_then(|programs| run(&arguments, programs)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mirror-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn peers(&self) -> Vec<Peer> {
        let every = <Peer as clap::ValueEnum>::value_variants();
        let is_asked = |peer: &&Peer| !self.alone && (self.peers.is_empty() || self.peers.contains(peer));
        every.iter().filter(is_asked).copied().collect()
    }

    fn given(&self, peer: Peer) -> Option<&PathBuf> {
        match peer {
            Peer::S3sync => self.s3sync.as_ref(),
            Peer::Rclone => self.rclone.as_ref(),
            Peer::S5cmd => self.s5cmd.as_ref(),
            Peer::Awscli => self.awscli.as_ref(),
            Peer::Azcopy => self.azcopy.as_ref(),
        }
    }
}

/// Skyfleet's, and the peers': those that are not given are installed.
fn programs(arguments: &Arguments) -> Result<Vec<Program>, String> {
    let beside = || std::env::current_exe().map(|path| path.with_file_name("skyfleet"));
    let skyfleet = match &arguments.skyfleet {
        Some(path) => path.clone(),
        None => beside().map_err(|error| format!("cannot find this program: {error}"))?,
    };
    let mut programs = vec![Program { peer: None, path: skyfleet }];
    for peer in arguments.peers() {
        let failed = |error| {
            format!("cannot install {0} ({error}): leave it out by --peers, or give its program by --{0}", peer.name())
        };
        let path =
            arguments.given(peer).map_or_else(|| install::program(peer).map_err(failed), |path| Ok(path.clone()))?;
        programs.push(Program { peer: Some(peer), path });
    }
    if arguments.azure + arguments.azure_large > 0 {
        azurite_script().map_err(|error| error.to_string())?;
    }
    Ok(programs)
}

#[tokio::main]
async fn run(arguments: &Arguments, programs: Vec<Program>) -> Result<(), String> {
    let home = tempfile::tempdir().map_err(|error| error.to_string())?;
    let certificate = arguments.tls.then(|| home.path().join("certificate.pem"));
    let server = match &certificate {
        Some(certificate) => SimulatedS3::start_with_tls(certificate).await,
        None => SimulatedS3::start().await,
    };
    let server = server.map_err(|error| error.to_string())?;
    let surroundings = Surroundings { endpoint: server.endpoint(), certificate, home: home.path().to_owned() };
    let bench = Bench { server, surroundings, programs, rounds: arguments.rounds };
    for (bench_name, upload_name, count, latency) in [
        ("mirror.small", "mirror.upload.small", arguments.objects, 0),
        ("mirror.distant", "mirror.upload.distant", arguments.distant, 20),
    ] {
        if count > 0 {
            bench.copy(bench_name, Objects::small(count), latency).await?;
            bench.upload(upload_name, Objects::small(count), latency).await?;
        }
    }
    if arguments.large > 0 {
        bench.copy("mirror.large", Objects::large(arguments.large), 0).await?;
        bench.upload("mirror.upload.large", Objects::large(arguments.large), 0).await?;
        bench.fan_out(arguments.large).await?;
    }
    if arguments.bounded > 0 {
        bench.copy_bounded("mirror.bounded", Objects::huge(arguments.bounded), 50_000_000).await?;
    }
    if arguments.azure > 0 {
        bench.upload_to_azure("mirror.upload_azure.small", Objects::small(arguments.azure)).await?;
    }
    if arguments.azure_large > 0 {
        bench.upload_to_azure("mirror.upload_azure.large", Objects::large(arguments.azure_large)).await?;
    }
    if arguments.keys > 0 {
        bench.settled(arguments.keys).await?;
    }
    Ok(())
}
