//! Our own side: this program once more, which runs one transform and says what that took.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use clap::ValueEnum as _;
use skyfleet_transform::{RangeSource, RowLimits, Source};

use crate::case::Case;
use crate::cost::Cost;
use crate::rows::Synthesised;

/// The argument that asks for a transform of a file.
const FILE: &str = "--transform-file";
/// The argument that asks for one of rows that are made on the way.
const SYNTHESISED: &str = "--transform-synthesised";
const OUT_BUFFER: usize = 256 * 1024;

pub fn file(case: Case, input: &Path, output: &Path) -> Result<Command, String> {
    let mut command = this_program()?;
    command.arg(FILE).arg(case.name()).args([input, output]);
    Ok(command)
}

pub fn synthesised(bytes: u64) -> Result<Command, String> {
    let mut command = this_program()?;
    command.arg(SYNTHESISED).arg(bytes.to_string());
    Ok(command)
}

fn this_program() -> Result<Command, String> {
    std::env::current_exe().map(Command::new).map_err(|error| format!("cannot find this program: {error}"))
}

/// When this process is such a command: the status to end with.
pub fn run_if_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let cost = match arguments[..] {
        [FILE, case, input, output] => Cost::of(|| transform_file(case, Path::new(input), Path::new(output))),
        [SYNTHESISED, bytes] => Cost::of(|| transform_synthesised(bytes)),
        _ => return None,
    };
    match cost.and_then(|cost| serde_json::to_string(&cost).map_err(|error| error.to_string())) {
        #[allow(clippy::print_stdout, reason = "what it was asked for")]
        Ok(cost) => println!("{cost}"),
        Err(error) => {
            eprintln!("{error}");
            return Some(ExitCode::FAILURE);
        }
    }
    Some(ExitCode::SUCCESS)
}

fn transform_file(case: &str, input: &Path, output: &Path) -> Result<(), String> {
    let case = Case::from_str(case, false)?;
    let failed = |error: io::Error| format!("{} to {}: {error}", input.display(), output.display());
    let reader = File::open(input).map_err(failed)?;
    let mut writer = BufWriter::with_capacity(OUT_BUFFER, File::create(output).map_err(failed)?);
    let source = if case.transform()?.reads_ranges(case.input()) {
        let size = reader.metadata().map_err(failed)?.len();
        Source::Ranges(Arc::new(Ranges { file: reader, size }))
    } else {
        Source::Stream(Box::new(reader))
    };
    transform(case, source, &mut writer)?;
    writer.flush().map_err(failed)
}

fn transform_synthesised(bytes: &str) -> Result<(), String> {
    let bytes = bytes.parse().map_err(|error| format!("{bytes:?} is no number of bytes: {error}"))?;
    transform(Case::JsonlToParquet, Source::Stream(Box::new(Synthesised::new(bytes))), &mut io::sink())
}

/// No record may be a dead letter: a peer would not be given any either.
fn transform(case: Case, source: Source, out: &mut (dyn Write + Send)) -> Result<(), String> {
    let limits = RowLimits { most_rejected_percent: 0 };
    let done = case.transform()?.run(case.input(), source, out, &mut io::sink(), limits);
    done.map(drop).map_err(|error| error.to_string())
}

struct Ranges {
    file: File,
    size: u64,
}

impl RangeSource for Ranges {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>) -> io::Result<bytes::Bytes> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }
}
