//! How much memory it takes to transform what is far larger.

use crate::cost::{Cost, told};
use crate::figures::Figure;
use crate::worker;

/// MiB: a pod of the mirror has no more.
const MOST_MEMORY: f64 = 256.0;

/// Transforms so many bytes of JSON Lines to Parquet, which nobody keeps.
///
/// # Errors
/// It takes more memory than it may.
#[allow(clippy::cast_precision_loss, reason = "less memory than machines have")]
pub fn run(bytes: u64) -> Result<(), String> {
    eprintln!("bounded: {bytes} bytes");
    let cost: Cost = told(&mut worker::synthesised(bytes)?)?;
    let figure = Figure::new("flows.bounded.most_memory", Some(cost.memory as f64 / 1024.0), "MiB").below(MOST_MEMORY);
    let is_met = figure.met == Some(true);
    figure.with("input_bytes", bytes).print();
    if is_met { Ok(()) } else { Err(format!("bounded: it took {} KiB of memory, more than it may", cost.memory)) }
}
