//! How fast transforms are, beside pyarrow and DuckDB. `make bench-flows` runs it; each figure is one line of JSON.
//!
//! Each transform takes a file to a file, in a process of its own, in turns with peers that do the same; `bench/peers/flows` has what
//! they are asked. CPU time is that of the conversion, on one thread, without the start of any process. A ratio is our rate by
//! the best peer's: more than 1 is faster, and 0.8 is the least that the project has set itself.

mod bounded;
mod case;
mod cost;
#[path = "../../src/figures.rs"]
#[allow(dead_code, reason = "the same lines as the other benchmarks', without all that these link")]
mod figures;
mod peers;
mod report;
mod rounds;
mod rows;
mod worker;

use std::process::ExitCode;

use clap::{Parser, ValueEnum as _};

use case::Case;
use peers::Peers;
use rounds::Bench;

/// As the program has it.
#[cfg(target_arch = "x86_64")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measure transforms, in turns with pyarrow and DuckDB, which are installed into Skyfleet's cache
#[derive(Parser)]
struct Arguments {
    /// Rows of the files that are transformed: a million are some 200 MB of JSON Lines
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// How often each program does each case
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// These cases only, separated by commas; all if not given
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    only: Vec<Case>,
    /// Megabytes of JSON Lines that are streamed to see how much memory that takes; 0 leaves it out
    #[arg(long, default_value_t = 5_000, value_name = "MB")]
    bounded: u64,
}

fn main() -> ExitCode {
    if let Some(status) = worker::run_if_asked() {
        return status;
    }
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flows-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let bench = Bench::prepare(Peers::installed()?, arguments.rows, arguments.rounds.max(1))?;
    for case in Case::value_variants() {
        if arguments.only.is_empty() || arguments.only.contains(case) {
            bench.run(*case)?;
        }
    }
    if arguments.bounded > 0 { bounded::run(arguments.bounded * 1_000_000) } else { Ok(()) }
}
