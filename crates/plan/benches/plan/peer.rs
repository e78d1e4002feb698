//! Karmada, which schedules over many clusters too.

use std::process::Command;

use crate::figures::Run;

/// What bench/peers/karmada is built of.
pub const NAME: &str = "Karmada v1.13.0";
/// Schedules a second that Karmada publishes, API servers included.
pub const PUBLISHED: f64 = 22.0;

/// One round of Karmada's algorithm; `None` where its program was not built.
pub fn karmada(clusters: usize, nodes: usize, models: usize) -> Option<Run> {
    let program = std::env::var_os("KARMADA_PEER")?;
    let mut command = Command::new(&program);
    for (name, value) in [("-clusters", clusters), ("-nodes", nodes), ("-models", models)] {
        command.arg(name).arg(value.to_string());
    }
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    Some(Run::of(models, found["seconds"].as_f64()?, found["processorSeconds"].as_f64()?))
}
