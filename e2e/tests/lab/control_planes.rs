//! A hub and two members without nodes: what most scenarios run on.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use skyfleet_e2e::{Cluster, ClusterSpec, Lab, LabSpec, Power, tools};

use crate::leftovers::Footprint;
use crate::support::{eventually, lab, lab_name};

fn clusters() -> Vec<ClusterSpec> {
    ["hub", "aws-1", "gcp-1"].map(ClusterSpec::control_plane).to_vec()
}

async fn client(lab: &Lab, cluster: &str) -> Client {
    lab.cluster(cluster).unwrap().client().await.unwrap()
}

async fn remember(client: &Client, name: &str) {
    let data = BTreeMap::from([("colour".to_owned(), "blue".to_owned())]);
    let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
    Api::default_namespaced(client.clone()).create(&PostParams::default(), &map).await.unwrap();
}

async fn recall(client: &Client, name: &str) -> Result<String, kube::Error> {
    let map: ConfigMap = Api::default_namespaced(client.clone()).get(name).await?;
    Ok(map.data.unwrap_or_default().remove("colour").unwrap_or_default())
}

/// How many requests of the audit log have this verb and object name.
fn audited(cluster: &Cluster, verb: &str, object: &str) -> usize {
    let log = std::fs::read_to_string(cluster.audit_log()).unwrap();
    let events = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    events
        .filter(|event| event["verb"] == verb && event["objectRef"]["name"] == object)
        .inspect(|event| assert_eq!(event["user"]["username"], "skyfleet-lab-admin"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_start_stop_and_are_cut_off_one_by_one() {
    let lab = lab("planes", clusters()).await;
    for cluster in lab.clusters() {
        let version = cluster.client().await.unwrap().apiserver_version().await.unwrap();
        assert_eq!(version.git_version, tools::KUBERNETES_VERSION);
    }

    // Writes are audited, reads are not.
    let (hub, aws) = (client(&lab, "hub").await, client(&lab, "aws-1").await);
    remember(&aws, "kept").await;
    recall(&aws, "kept").await.unwrap();
    let (hub_cluster, aws_cluster) = (lab.cluster("hub").unwrap(), lab.cluster("aws-1").unwrap());
    eventually("the audit log", || async { (audited(aws_cluster, "create", "kept") == 1).then_some(()).ok_or(()) })
        .await;
    assert_eq!(audited(aws_cluster, "get", "kept"), 0);
    assert_eq!(audited(hub_cluster, "create", "kept"), 0);
    assert!(recall(&hub, "kept").await.is_err(), "the clusters share their data");

    // A second `up` finds everything and starts nothing.
    Footprint::of(&lab).assert_control_planes(3);
    let again = Lab::up(LabSpec { name: lab_name("planes"), clusters: clusters() }).await.unwrap();
    Footprint::of(&again).assert_control_planes(3);

    // Stopped: it answers no more, the others do; started: it remembers.
    aws_cluster.spawn("extra", Command::new("/bin/sleep").arg("100000")).unwrap();
    eventually("the extra program", || async { aws_cluster.is_running("extra").then_some(()).ok_or(()) }).await;
    lab.stop("aws-1").await.unwrap();
    assert_eq!(lab.status("aws-1").await.unwrap().power, Power::Stopped);
    assert!(!aws_cluster.is_running("extra"));
    assert!(recall(&aws, "kept").await.is_err());
    assert!(hub.apiserver_version().await.is_ok());
    lab.start("aws-1").await.unwrap();
    assert_eq!(lab.status("aws-1").await.unwrap().power, Power::Up);
    assert_eq!(recall(&client(&lab, "aws-1").await, "kept").await.unwrap(), "blue");

    // Cut off: requests hang, they are not refused; connected again: the old connection goes on.
    let gcp = client(&lab, "gcp-1").await;
    remember(&gcp, "far").await;
    lab.partition("gcp-1").await.unwrap();
    assert!(lab.status("gcp-1").await.unwrap().partitioned);
    let hangs = tokio::time::timeout(Duration::from_secs(4), recall(&gcp, "far")).await;
    assert!(hangs.is_err(), "a request ended while its cluster was cut off: {hangs:?}");
    assert!(hub.apiserver_version().await.is_ok());
    lab.heal("gcp-1").await.unwrap();
    assert!(!lab.status("gcp-1").await.unwrap().partitioned);
    assert_eq!(eventually("a request after healing", || recall(&gcp, "far")).await, "blue");

    let footprint = Footprint::of(&lab);
    footprint.assert_control_planes(3);
    lab.down().await.unwrap();
    footprint.assert_gone();
    assert!(Lab::open(&lab_name("planes")).is_err());
    skyfleet_e2e::remove(&lab_name("planes")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_panics_leaves_no_lab() {
    let lab = lab("panic", vec![ClusterSpec::control_plane("hub")]).await;
    let footprint = Footprint::of(&lab);
    footprint.assert_control_planes(1);
    let panic = tokio::spawn(async move {
        let _lab = lab;
        panic!("on purpose");
    });
    assert!(panic.await.is_err());
    footprint.assert_gone();
}
