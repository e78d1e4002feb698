//! A program and its children: what CPU and memory they have used.

use std::process::{Child, Command, Stdio};

/// A program that ends with this value.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Result<Self, String> {
        let what = format!("{command:?}");
        // Some ask whether anybody types.
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        started.map(Self).map_err(|error| format!("cannot start {what}: {error}"))
    }

    /// CPU seconds of all of it until now.
    pub fn cpu(&self) -> f64 {
        self.all().iter().map(|pid| cpu(*pid)).sum()
    }

    /// Bytes of memory that are its own: what forked workers share counts once.
    pub fn memory(&self) -> f64 {
        self.all().iter().map(|pid| proportional(*pid)).sum()
    }

    fn all(&self) -> Vec<u32> {
        let mut all = vec![self.0.id()];
        let mut next = 0;
        while let Some(pid) = all.get(next).copied() {
            next += 1;
            all.extend(children(pid));
        }
        all
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // All of these end by this signal, with their children.
        let _ended = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status();
        let _waited = self.0.wait();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// By the scheduler's own count, in nanoseconds: ticks would be too coarse.
#[allow(clippy::cast_precision_loss, reason = "nanoseconds of some minutes")]
fn cpu(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let spent = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    let nanoseconds = spent.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok());
    nanoseconds.sum::<u64>() as f64 / 1e9
}

#[allow(clippy::cast_precision_loss, reason = "no process has 2^52 bytes")]
fn proportional(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or_default() as f64 * 1024.0
}
