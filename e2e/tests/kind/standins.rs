//! A folder with the stand-ins, put first on the search path of the lab program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

/// A machine has one Docker engine: labs on engines of their own, side by side, would puzzle each other.
static ENGINE: Mutex<()> = Mutex::new(());

pub(crate) struct StandIns {
    _engine: MutexGuard<'static, ()>,
    folder: TempDir,
    /// The lab that is made with them; it ends with them.
    pub(crate) lab: String,
}

impl StandIns {
    pub(crate) fn new(test: &str) -> Self {
        let engine = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        for program in ["docker", "kind"] {
            let path = folder.path().join(program);
            fs::write(&path, include_str!("standin.sh")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { _engine: engine, folder, lab: format!("kind-{test}-{}", std::process::id()) }
    }

    /// Runs the lab program; gives its output, or what it said when it failed.
    pub(crate) fn lab(&self, arguments: &[&str]) -> Result<String, String> {
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command.args(["--name", &self.lab]).args(arguments).env("PATH", path).env_remove("SKYFLEET_LAB_BACKEND");
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// How many calls began so.
    pub(crate) fn count(&self, call: &str) -> usize {
        let calls = fs::read_to_string(self.file("calls")).unwrap();
        calls.lines().filter(|line| line.starts_with(call)).count()
    }

    /// From now on calls that begin so fail.
    pub(crate) fn fail_at(&self, call: Option<&str>) {
        match call {
            Some(call) => fs::write(self.file("fail"), call).unwrap(),
            None => fs::remove_file(self.file("fail")).unwrap(),
        }
    }

    /// The next cluster is made half, and the lab program killed.
    pub(crate) fn kill_in_create(&self) {
        fs::write(self.file("kill"), "").unwrap();
    }

    /// The engine names processes as a machine of its own does: by numbers that mean something else here, say this test.
    pub(crate) fn run_elsewhere(&self) {
        fs::write(self.file("elsewhere"), std::process::id().to_string()).unwrap();
    }

    /// How many nodes there are, running or not.
    pub(crate) fn nodes(&self) -> usize {
        self.with_extension("made").len()
    }

    /// The command lines of all processes in the network of a node.
    pub(crate) fn programs_in_network(&self, node: &str) -> Vec<String> {
        let node = fs::read_to_string(self.file(&format!("{node}.pid"))).unwrap();
        let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let wanted = network(node.trim()).unwrap();
        let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let inside = pids.filter(|pid| network(pid).as_ref() == Some(&wanted));
        let line = |pid: String| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        inside.map(|pid| line(pid).trim_end_matches('\0').replace('\0', " ")).collect()
    }

    /// No container, network, folder, name of a network, or claim on a number.
    pub(crate) fn assert_nothing_is_left(&self) {
        assert_eq!((self.nodes(), self.file("network").exists()), (0, false));
        let base = Path::new("/var/lib/skyfleet-lab");
        assert!(!base.join(&self.lab).exists());
        let claims = fs::read_dir(base.join(".addresses")).unwrap().flatten().map(|entry| entry.path());
        for claim in claims {
            let owner = fs::read_to_string(&claim).unwrap_or_default();
            assert!(!owner.contains(&format!("/{}/", self.lab)), "{}", claim.display());
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&format!("/{}/", self.lab)), "{mounts}");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn with_extension(&self, extension: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path()).unwrap().flatten().map(|entry| entry.path());
        files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    }
}

impl Drop for StandIns {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.file("fail"));
        if let Err(reason) = self.lab(&["down"]) {
            eprintln!("the lab {} could not be ended: {reason}", self.lab);
        }
    }
}
