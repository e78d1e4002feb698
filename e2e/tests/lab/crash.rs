//! `lab up` is killed at many moments; what it left is taken up by the next `lab up`, or removed by `lab down`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use skyfleet_e2e::{Lab, Power};

use crate::leftovers::{Footprint, assert_no_trace};
use crate::support::lab_name;

/// Files whose appearance marks a moment of the start.
const MOMENTS: [&str; 7] = [
    "state.json",
    "hub/pki/ca.crt",
    "hub/logs/etcd.log",
    "hub/logs/kube-apiserver.log",
    "hub/logs/kube-scheduler.log",
    "hub/containerd.sock",
    "hub/logs/kubelet.log",
];

const UP: [&str; 5] = ["up", "--backend", "namespaces", "--cluster", "hub"];

fn lab_command(verb: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(["--name", &lab_name("crash")]).args(verb).stdin(Stdio::null());
    command
}

fn run(verb: &[&str]) {
    let output = lab_command(verb).output().unwrap();
    assert!(output.status.success(), "lab {verb:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Starts the lab and kills the program, with SIGKILL, once the file is there.
fn kill_up_at(folder: &Path, moment: &str) {
    let mut child = lab_command(&UP).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !folder.join(moment).exists() && child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_mins(15), "{moment} does not appear");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_start_is_taken_up_or_removed() {
    let base =
        std::env::var_os("SKYFLEET_LAB_DIR").map_or_else(|| PathBuf::from("/var/lib/skyfleet-lab"), PathBuf::from);
    let folder = std::path::absolute(base).unwrap().join(lab_name("crash"));
    for moment in MOMENTS {
        kill_up_at(&folder, moment);
        run(&["down"]);
        assert_no_trace(&folder);
    }
    // Each start goes on from where the one before was killed.
    for moment in MOMENTS {
        kill_up_at(&folder, moment);
    }
    run(&UP);
    let lab = Lab::open(&lab_name("crash")).unwrap().down_on_drop();
    let status = lab.status("hub").await.unwrap();
    assert_eq!((status.power, status.node_ready), (Power::Up, Some(true)));
    let footprint = Footprint::of(&lab);
    footprint.assert_control_planes(1);
    footprint.assert_nodes(1);
    lab.down().await.unwrap();
    footprint.assert_gone();
}
