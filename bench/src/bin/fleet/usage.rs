//! What a process and the whole machine use, from `/proc`.

use std::path::Path;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// CPU time so far, of each part of the benchmark and of everything on the machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTimes {
    pub(crate) operator: Duration,
    /// API server, etcd and controllers of the hub.
    pub(crate) hub: Duration,
    /// This program, which is all the members.
    pub(crate) members: Duration,
    pub(crate) machine: Duration,
}

impl CpuTimes {
    /// Looks now; a process that is not there has used nothing.
    pub(crate) fn look(operator: Option<u32>, hub_folder: &Path) -> Self {
        Self {
            operator: operator.map_or(Duration::ZERO, process_time),
            hub: processes_of(hub_folder).map(process_time).sum(),
            members: process_time(std::process::id()),
            machine: machine_time(),
        }
    }

    /// What was used since an earlier look.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            operator: self.operator.saturating_sub(earlier.operator),
            hub: self.hub.saturating_sub(earlier.hub),
            members: self.members.saturating_sub(earlier.members),
            machine: self.machine.saturating_sub(earlier.machine),
        }
    }
}

/// Processes that were started with a file of this folder among their arguments.
fn processes_of(folder: &Path) -> impl Iterator<Item = u32> {
    let folder = folder.to_string_lossy().into_owned();
    let ids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(move |pid: &u32| {
        // What ends meanwhile is none.
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != std::process::id() && String::from_utf8_lossy(&arguments).contains(&folder)
    })
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
