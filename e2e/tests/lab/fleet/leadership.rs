//! The operator is killed, without warning, at moments all over a rollout.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use skyfleet_e2e::fleet::{Fleet, HUB, OPERATOR_NAMESPACE};

use super::every_cluster_gives_the_published_embedding;
use super::fleet_state::{assert_rolled_out, json, wait_ready};
use crate::support::eventually;

/// How long each rollout goes before the leader is killed, in milliseconds: before, within and after each of its steps.
const MOMENTS: [u64; 4] = [0, 60, 300, 2000];

pub(super) async fn a_rollout_survives_killed_operators(fleet: &Fleet) {
    for (round, moment) in MOMENTS.into_iter().enumerate() {
        let leader = leader(fleet).await;
        let delay = (round + 1).to_string();
        let patch = format!(
            r#"{{"spec": {{"runtime": {{"args": ["--model-dir", "/models", "--shutdown-delay", "{delay}"]}}}}}}"#
        );
        fleet.kubectl(HUB, &["patch", "modeldeployment", "minilm", "--type", "merge", "-p", &patch], "").await.unwrap();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        kill(leader, Signal::SIGKILL).unwrap();
        wait_ready(fleet, "modeldeployment", "minilm").await;
        assert_rolled_out(fleet, &delay).await;
        println!("killed {moment} ms into a rollout: it converged");
    }
    every_cluster_gives_the_published_embedding(fleet).await;
}

/// The process of the operator that leads.
async fn leader(fleet: &Fleet) -> Pid {
    let lease = json(fleet, HUB, &["get", "lease", "skyfleet-operator", "-n", OPERATOR_NAMESPACE]).await;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap().to_owned();
    eventually("the leader runs", || async {
        let pod = json(fleet, HUB, &["get", "pod", &holder, "-n", OPERATOR_NAMESPACE]).await;
        process_of(pod["metadata"]["uid"].as_str().unwrap()).ok_or_else(|| format!("{holder} has no process"))
    })
    .await
}

/// The process named `skyfleet` in the cgroup of a pod.
fn process_of(pod: &str) -> Option<Pid> {
    let underlined = pod.replace('-', "_");
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).find_map(
        |pid: i32| {
            let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
            let cgroup = read("cgroup")?;
            let ours = read("comm")?.trim() == "skyfleet" && (cgroup.contains(pod) || cgroup.contains(&underlined));
            ours.then(|| Pid::from_raw(pid))
        },
    )
}
