//! The lab on kind, with stand-ins for `docker` and `kind`: no Docker engine runs where the project is built, so the real ones
//! cannot be had. The stand-ins record what they are told and run nothing but a process in a network namespace of its own
//! for each node; namespaces, partitions, cgroups and what the lab spawns are real.
#![allow(clippy::unwrap_used)]

mod standins;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use skyfleet_e2e::{Backend, Cluster, Lab, LabSpec};
use standins::StandIns;

/// The hub of a lab that runs.
fn hub(standins: &StandIns) -> Cluster {
    Lab::open(&standins.lab).unwrap().cluster("hub").unwrap().clone()
}

/// The state that `lab status` shows of the hub.
fn state(standins: &StandIns) -> String {
    let table = standins.lab(&["status"]).unwrap();
    table.lines().find(|line| line.starts_with("hub")).unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

fn eventually(what: &str, check: impl Fn() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_is_made_stopped_cut_off_and_removed() {
    let standins = StandIns::new("life");
    // Nothing is asked for: where an engine and kind answer, kind it is; and there it has nodes also without pods.
    standins.lab(&["up", "--cluster", "hub", "--cluster", "aws-1", "--no-pods"]).unwrap();
    let hub = hub(&standins);
    let node = hub.node_name();
    assert_eq!((hub.backend(), hub.has_node()), (Backend::Kind, true));
    let kubeconfig = std::fs::read_to_string(hub.kubeconfig()).unwrap();
    assert!(kubeconfig.contains(&format!("server: {}\n", hub.server())), "{kubeconfig}");
    let config = std::fs::read_to_string(hub.folder().join("kind.yaml")).unwrap();
    assert!(config.contains(&hub.address().to_string()), "{config}");
    assert!(hub.audit_log().with_file_name("policy.yaml").exists());
    assert_eq!(standins.count("docker network create"), 1);
    assert_eq!(standins.count("kind create cluster"), 2);
    assert_eq!(standins.count(&format!("docker network connect --ip {} skyfleet-lab {node}", hub.address())), 1);
    assert_eq!(state(&standins), "up");

    // A second `up` makes nothing, and the lab stays what it is.
    standins.lab(&["up", "--cluster", "hub"]).unwrap();
    assert_eq!(standins.count("kind create cluster"), 2);
    let refusal = standins.lab(&["up", "--cluster", "hub", "--backend", "namespaces"]).unwrap_err();
    assert!(refusal.contains("is made of kind and not of namespaces"), "{refusal}");
    let again = LabSpec { name: standins.lab.clone(), clusters: Vec::new() };
    assert!(Lab::up_on(Backend::Namespaces, again).await.is_err());

    // What is spawned runs in the node's network.
    hub.spawn("extra", Command::new("/bin/sleep").arg("100000")).unwrap();
    eventually("it runs", || hub.is_running("extra"));
    eventually("it is in the node's network", || {
        standins.programs_in_network(&node).contains(&"/bin/sleep 100000".into())
    });

    standins.lab(&["partition", "hub"]).unwrap();
    assert_eq!(state(&standins), "partitioned");
    standins.lab(&["heal", "hub"]).unwrap();
    assert_eq!(state(&standins), "up");

    standins.lab(&["stop", "hub", "--control-plane"]).unwrap();
    assert_eq!(state(&standins), "partly");
    standins.lab(&["start", "hub", "--control-plane"]).unwrap();
    assert_eq!(state(&standins), "up");

    standins.lab(&["load-image", "/images/web.tar", "hub"]).unwrap();
    assert_eq!(standins.count("kind load image-archive /images/web.tar --name skyfleet-hub-"), 1);

    // Power cut and return: the other cluster goes on, the container is the same.
    standins.lab(&["stop", "hub"]).unwrap();
    assert_eq!(state(&standins), "stopped");
    assert!(!hub.is_running("extra"));
    standins.lab(&["stop", "hub"]).unwrap();
    standins.lab(&["start", "hub"]).unwrap();
    assert_eq!(state(&standins), "up");
    assert_eq!((standins.count("kind create cluster"), standins.count("docker stop")), (2, 1));

    standins.lab(&["down"]).unwrap();
    assert_eq!(standins.count("docker network rm"), 1);
    standins.assert_nothing_is_left();
}

#[test]
fn a_failed_command_is_named_and_the_next_start_goes_on() {
    let standins = StandIns::new("fail");
    for command in ["docker network create", "kind create cluster", "docker network connect", "kind get kubeconfig"] {
        standins.fail_at(Some(command));
        let failure = standins.lab(&["up", "--cluster", "hub", "--backend", "kind"]).unwrap_err();
        assert!(failure.contains(command) && failure.contains("on purpose"), "{failure}");
    }
    standins.fail_at(None);
    standins.lab(&["up", "--cluster", "hub"]).unwrap();
    assert_eq!(state(&standins), "up");

    // Also when it ends: nothing is forgotten, so that `down` can be called again.
    standins.fail_at(Some("kind delete cluster"));
    assert!(standins.lab(&["down"]).unwrap_err().contains("kind delete cluster"));
    standins.fail_at(None);
    standins.lab(&["down"]).unwrap();
    standins.assert_nothing_is_left();
}

#[test]
fn a_start_that_was_killed_is_removed_or_taken_up() {
    for verb in ["down", "up"] {
        let standins = StandIns::new("crash");
        standins.kill_in_create();
        assert!(standins.lab(&["up", "--cluster", "hub", "--backend", "kind"]).is_err());
        assert_eq!(standins.nodes(), 1, "a half-made node");
        if verb == "up" {
            standins.lab(&["up", "--cluster", "hub"]).unwrap();
            assert_eq!((state(&standins), standins.nodes()), ("up".to_owned(), 1));
        }
        standins.lab(&["down"]).unwrap();
        standins.assert_nothing_is_left();
    }
}

/// Its pids would lead into the network of any process here: partitions would cut off this machine.
#[test]
fn the_network_of_another_process_is_not_entered() {
    let standins = StandIns::new("pid");
    standins.run_elsewhere();
    let refusal = standins.lab(&["up", "--cluster", "hub", "--backend", "kind"]).unwrap_err();
    assert!(refusal.contains("is not at 198.19.128."), "{refusal}");
    assert!(!Path::new("/run/netns").join(hub(&standins).namespace()).exists());
    standins.lab(&["down"]).unwrap();
    standins.assert_nothing_is_left();
}

#[test]
fn kind_is_refused_where_it_cannot_be_used() {
    let standins = StandIns::new("none");
    for command in ["docker info", "kind version"] {
        standins.fail_at(Some(command));
        let refusal = standins.lab(&["up", "--cluster", "hub", "--backend", "kind"]).unwrap_err();
        assert!(refusal.contains("kind cannot be used on this machine") && refusal.contains(command), "{refusal}");
    }
    standins.assert_nothing_is_left();
}
