//! Looks for what a lab left on the machine, without the lab's own code: through /proc, /sys and the file system.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use skyfleet_e2e::Lab;

/// Everything of a running lab that must be gone after it.
pub(crate) struct Footprint {
    folder: PathBuf,
    /// Pid and start time, which together name a process for good.
    processes: BTreeSet<(i32, String)>,
    numbers: Vec<String>,
    sockets: BTreeSet<PathBuf>,
}

impl Footprint {
    pub(crate) fn of(lab: &Lab) -> Self {
        let numbers: Vec<String> = lab
            .clusters()
            .iter()
            .map(|cluster| cluster.namespace().trim_start_matches("skyfleet-").to_owned())
            .collect();
        let mine = |pid: &i32| {
            let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            numbers.iter().any(|number| cgroups.contains(&format!("/skyfleet-lab/{number}/")))
        };
        let processes = pids().into_iter().filter(mine).map(|pid| (pid, start_time(pid))).collect();
        let sockets = find(lab.folder(), "address").into_iter().filter_map(|file| fs::read_to_string(file).ok());
        let sockets = sockets.map(|address| PathBuf::from(address.trim_start_matches("unix://"))).collect();
        Self { folder: lab.folder().to_owned(), processes, numbers, sockets }
    }

    /// How many processes run each program. Components run helpers now and then (`nft`), so look only for what should run.
    fn programs(&self) -> BTreeMap<String, usize> {
        let mut programs = BTreeMap::new();
        for (pid, _) in &self.processes {
            let command = command_line(*pid);
            let program = command.split(' ').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            *programs.entry(program.to_owned()).or_default() += 1;
        }
        programs
    }

    /// That the control planes run, each of their components once in each cluster.
    pub(crate) fn assert_control_planes(&self, clusters: usize) {
        self.assert_each(&["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"], clusters);
    }

    /// That the nodes run, each of their components once in each cluster.
    pub(crate) fn assert_nodes(&self, clusters: usize) {
        self.assert_each(&["containerd", "kubelet", "kube-proxy"], clusters);
    }

    fn assert_each(&self, names: &[&str], count: usize) {
        let programs = self.programs();
        for name in names {
            assert_eq!(programs.get(*name), Some(&count), "{name} in {programs:?}");
        }
    }

    /// That so many pods run: each a shim with its socket, the pause program, and a container.
    pub(crate) fn assert_pods(&self, count: usize) {
        self.assert_each(&["containerd-shim-runc-v2", "pause"], count);
        assert_eq!(self.sockets.len(), count);
    }

    pub(crate) fn assert_gone(&self) {
        for (pid, start) in &self.processes {
            assert!(start_time(*pid) != *start || start.is_empty(), "process {pid} is left: {}", command_line(*pid));
        }
        for socket in &self.sockets {
            assert!(!socket.exists(), "{} is left", socket.display());
        }
        assert_no_trace(&self.folder);
        for number in self.numbers.iter().filter(|number| !taken_by_another(number)) {
            assert!(!Path::new(&format!("/run/netns/skyfleet-{number}")).exists());
            assert!(!Path::new(&format!("/sys/class/net/skyfleet{number}")).exists());
            assert_eq!(cgroups(number), Vec::<PathBuf>::new());
            let results = fs::read_dir("/var/lib/cni/results").into_iter().flatten().flatten();
            let network = format!("skyfleet-{number}-");
            assert!(!results.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(&network)));
        }
    }
}

/// What can be told from the folder alone, for a lab that never came up.
pub(crate) fn assert_no_trace(folder: &Path) {
    let name = folder.display().to_string();
    assert!(!folder.exists(), "{name} is left");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let left: Vec<&str> = mounts.lines().filter(|line| line.contains(&format!("{name}/"))).collect();
    assert!(left.is_empty(), "mounts are left: {left:?}");
    assert_no_process(&format!("{name}/"));
    for claim in fs::read_dir("/var/lib/skyfleet-lab/.addresses").unwrap().flatten() {
        let owner = fs::read_to_string(claim.path()).unwrap_or_default();
        assert!(!owner.starts_with(&format!("{name}/")), "{} is left", claim.path().display());
    }
}

/// A start that was under way when its lab was killed finds no cgroup to enter, and ends when it next has a core.
fn assert_no_process(argument: &str) {
    let start = Instant::now();
    loop {
        let named = pids().into_iter().filter(|pid| command_line(*pid).contains(argument));
        let left: Vec<_> = named.map(|pid| format!("process {pid} is left: {}", command_line(pid))).collect();
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn taken_by_another(number: &str) -> bool {
    Path::new("/var/lib/skyfleet-lab/.addresses").join(number).exists()
}

fn cgroups(number: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    let roots = folders.chain([PathBuf::from("/sys/fs/cgroup")]);
    roots.map(|root| root.join("skyfleet-lab").join(number)).filter(|folder| folder.exists()).collect()
}

fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Field 22 of /proc/PID/stat; empty when there is no such process, or a dead one that waits for its parent.
fn start_time(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    if fields.first() == Some(&"Z") { String::new() } else { fields.get(19).copied().unwrap_or_default().to_owned() }
}

fn command_line(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
}

/// The shims' `address` files; nothing is followed into mounted container file systems.
fn find(lab_folder: &Path, name: &str) -> Vec<PathBuf> {
    let below = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let tasks = |cluster: PathBuf| below(cluster.join("containerd/state/io.containerd.runtime.v2.task/k8s.io"));
    below(lab_folder.to_owned()).flat_map(tasks).map(|task| task.join(name)).filter(|file| file.exists()).collect()
}
