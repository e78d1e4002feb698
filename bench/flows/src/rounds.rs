//! Rounds in which all programs take turns at a case.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::case::Case;
use crate::cost::{Cost, told};
use crate::peers::{Contents, Peer, Peers};
use crate::report::{Told, tell};
use crate::{rows, worker};

pub struct Bench {
    peers: Peers,
    rows: u64,
    rounds: usize,
    folder: TempDir,
}

/// The runs of a program.
pub struct Runs {
    /// `None` is Skyfleet.
    peer: Option<Peer>,
    pub costs: Vec<Cost>,
    pub output_bytes: u64,
}

impl Runs {
    pub fn name(&self) -> &'static str {
        self.peer.map_or("skyfleet", Peer::name)
    }
}

impl Bench {
    /// Makes the files that are transformed. The one of Parquet is pyarrow's.
    pub fn prepare(peers: Peers, rows: u64, rounds: usize) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("cannot make a folder for files: {error}"))?;
        let bench = Self { peers, rows, rounds, folder };
        eprintln!("making {rows} rows");
        rows::write(rows, &bench.file("rows.jsonl"), &bench.file("rows.csv"))?;
        let (jsonl, parquet) = (bench.file("rows.jsonl"), bench.file("rows.parquet"));
        told::<Cost>(&mut bench.peers.convert(Peer::Pyarrow, Case::JsonlToParquet, &jsonl, &parquet))?;
        Ok(bench)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Measures a case and tells what was found.
    pub fn run(&self, case: Case) -> Result<(), String> {
        let input = self.file(case.input());
        let key = case.transform()?.output_key(case.input()).map_err(|error| error.to_string())?;
        // Beside the input, which may have the same name.
        let output = self.file(&format!("out-{key}"));
        let everyone = std::iter::once(None).chain(case.peers().iter().copied().map(Some));
        let mut all: Vec<_> = everyone.map(|peer| Runs { peer, costs: Vec::new(), output_bytes: 0 }).collect();
        let mut first: Option<(&str, Contents)> = None;
        for round in 1..=self.rounds {
            for runs in &mut all {
                eprintln!("{}, round {round}: {}", case.name(), runs.name());
                runs.costs.push(self.convert(runs.peer, case, &input, &output)?);
                runs.output_bytes = size(&output)?;
                let contents = self.peers.contents(&output)?;
                let (other, expected) = first.get_or_insert_with(|| (runs.name(), contents.clone()));
                if contents != *expected {
                    return Err(format!(
                        "{}: {} wrote {contents:?}, and {other} wrote {expected:?}",
                        case.name(),
                        runs.name()
                    ));
                }
                fs::remove_file(&output).map_err(|error| format!("cannot remove {}: {error}", output.display()))?;
            }
        }
        tell(&Told { case, rows: self.rows, rounds: self.rounds, input_bytes: size(&input)?, all: &all });
        Ok(())
    }

    fn convert(&self, peer: Option<Peer>, case: Case, input: &Path, output: &Path) -> Result<Cost, String> {
        let mut command = match peer {
            Some(peer) => self.peers.convert(peer, case, input, output),
            None => worker::file(case, input, output)?,
        };
        told(&mut command)
    }
}

fn size(file: &Path) -> Result<u64, String> {
    let metadata = fs::metadata(file).map_err(|error| format!("cannot look at {}: {error}", file.display()))?;
    Ok(metadata.len())
}
