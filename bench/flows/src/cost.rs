//! What a conversion takes.

use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

/// What a worker says of itself, ours and the peers' alike.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds of CPU, of all threads, user and system.
    pub cpu: f64,
    /// The most memory that the process has held, in KiB.
    pub memory: u64,
}

impl Cost {
    /// Of doing this, in this process.
    pub fn of(conversion: impl FnOnce() -> Result<(), String>) -> Result<Self, String> {
        let before = cpu_seconds()?;
        conversion()?;
        let cpu = cpu_seconds()? - before;
        Ok(Self { cpu, memory: peak_memory().ok_or("the kernel does not tell how much memory was held")? })
    }
}

/// What a program prints as JSON.
pub fn told<T: for<'de> Deserialize<'de>>(command: &mut Command) -> Result<T, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} failed, {}: {}", output.status, said.trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{program} told no figures: {error}"))
}

fn cpu_seconds() -> Result<f64, String> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(|error| format!("cannot ask for usage: {error}"))?;
    #[allow(clippy::cast_precision_loss, reason = "no process runs for so long")]
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Since the program began: what `getrusage` tells may be of the process that started it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
