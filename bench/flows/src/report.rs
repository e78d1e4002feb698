//! What is told of the rounds.

use serde_json::{Map, Value, json};

use crate::case::Case;
use crate::figures::Figure;
use crate::rounds::Runs;

/// The least that a rate is to be, of the best peer's.
const LEAST_RATIO: f64 = 0.8;

pub struct Told<'a> {
    pub case: Case,
    pub rows: u64,
    pub rounds: usize,
    pub input_bytes: u64,
    /// Skyfleet's runs first.
    pub all: &'a [Runs],
}

/// Prints the rates by the median of the rounds, each compared with the fastest peer's, and the memory beside that of the peer with the
/// least.
#[allow(clippy::cast_precision_loss, reason = "rows and bytes that fit on a disk")]
pub fn tell(told: &Told<'_>) {
    let rate = |amount: f64| move |runs: &Runs| amount / median(runs.costs.iter().map(|cost| cost.cpu).collect());
    let (rows, megabytes) = (told.rows as f64, told.input_bytes as f64 / 1e6);
    told.figure("rows_per_cpu_second", "1/s", rate(rows), f64::max).print();
    told.figure("megabytes_per_cpu_second", "MB/s", rate(megabytes), f64::max).print();
    let memory = |runs: &Runs| runs.costs.iter().map(|cost| cost.memory).max().unwrap_or_default() as f64 / 1024.0;
    let mut figure = told.figure("most_memory", "MiB", memory, f64::min);
    // Only rates have a bound.
    (figure.target, figure.met) = (None, None);
    figure.print();
}

impl Told<'_> {
    fn figure(
        &self,
        what: &str,
        unit: &'static str,
        value_of: impl Fn(&Runs) -> f64,
        best: fn(f64, f64) -> f64,
    ) -> Figure {
        let values: Vec<_> = self.all.iter().map(|runs| (runs.name(), value_of(runs))).collect();
        let (own, peers) = (values[0].1, &values[1..]);
        let the_best = peers.iter().map(|peer| peer.1).reduce(best);
        let mut figure = Figure::new(format!("flows.{}.{what}", self.case.name()), Some(rounded(own)), unit);
        figure.peer = peers.iter().find(|peer| Some(peer.1) == the_best).map(|peer| peer.0.to_owned());
        figure.ratio = the_best.map(|best| (own / best * 1000.0).round() / 1000.0);
        figure.target = the_best.map(|best| rounded(best * LEAST_RATIO));
        figure.met = figure.ratio.map(|ratio| ratio >= LEAST_RATIO);
        let peer_values: Map<_, _> =
            peers.iter().map(|(name, value)| ((*name).to_owned(), json!(rounded(*value)))).collect();
        let sizes: Map<_, Value> =
            self.all.iter().map(|runs| (runs.name().to_owned(), json!(runs.output_bytes))).collect();
        let figure = figure.with("peer_values", peer_values).with("output_bytes", sizes);
        figure.with("rows", self.rows).with("rounds", self.rounds).with("input_bytes", self.input_bytes)
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
