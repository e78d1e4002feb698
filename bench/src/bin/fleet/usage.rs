//! What a process and the whole machine use, from `/proc`.

use std::time::{Duration, Instant};

use nix::unistd::{SysconfVar, sysconf};

/// A look at `/proc`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    at: Instant,
    process: Duration,
    busy: Duration,
}

/// What was used between two looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// CPU time of the process.
    pub(crate) process: Duration,
    /// Cores that anything on the machine kept busy, on average.
    pub(crate) machine_cores: f64,
}

impl Sample {
    /// Looks now; a process that is not there has used nothing.
    pub(crate) fn take(pid: Option<u32>) -> Self {
        Self { at: Instant::now(), process: pid.map_or(Duration::ZERO, process_time), busy: machine_time() }
    }

    /// What was used since.
    pub(crate) fn until(self, later: Self) -> Usage {
        let busy = later.busy.saturating_sub(self.busy).as_secs_f64();
        Usage {
            process: later.process.saturating_sub(self.process),
            machine_cores: busy / later.at.saturating_duration_since(self.at).as_secs_f64().max(0.001),
        }
    }
}

/// Resident memory now and at most, in MiB.
pub(crate) fn memory(pid: Option<u32>) -> Option<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid?)).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
        Some(kibibytes / 1024.0)
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

fn process_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field, the name, may have blanks in it. utime and stime are the 14th and 15th.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    ticks(fields.split_whitespace().skip(11).take(2))
}

/// user, nice and system; what waits or is stolen is left out.
fn machine_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    ticks(stat.lines().next().unwrap_or_default().split_whitespace().skip(1).take(3))
}

fn ticks<'a>(fields: impl Iterator<Item = &'a str>) -> Duration {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok());
    let sum: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(sum * 1000 / per_second.unwrap_or(100).max(1))
}
