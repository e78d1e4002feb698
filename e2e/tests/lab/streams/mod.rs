//! Streams from real pods in three clusters, one of which is slow, by the gateway and by load balancers of others, and by the gateway while another
//! cluster is lost: first its network, then its power.
//! No request may fail of which the client has nothing yet; streams that ran in the lost cluster break, and no others.

mod balanced;
mod balancers;
mod load;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use skyfleet_e2e::{ClusterSpec, artifacts};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::custom_resources::install_definitions;
use crate::gateway_process::Gateway;
use crate::hub::Hub;
use crate::operator_process::OperatorProcess;
use crate::paced::{MODEL, spec};
use crate::support::{eventually, lab};
use load::{Load, Outcome, Seen};

const MEMBERS: [&str; 3] = ["aws-1", "azure-1", "gcp-1"];
const LOST: &str = "aws-1";
const SLOW: &str = "gcp-1";
/// Milliseconds to the first token there; elsewhere 50.
const SLOW_FIRST: &str = "1500";
/// Streams after which shares are looked at.
const ENOUGH: usize = 160;
/// Streams that begin in a cluster before it is lost.
const SOME: usize = 4;
/// The load goes on for so long then: until everything that was sent to the lost cluster was noticed, and longer.
const AFTER: Duration = Duration::from_secs(35);

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_cluster_costs_no_request_that_had_not_started() {
    let image = spawn_blocking(artifacts::paced_server_image).await.unwrap().unwrap();
    let clusters = std::iter::once(ClusterSpec::control_plane("hub")).chain(MEMBERS.map(ClusterSpec::with_pods));
    let lab = lab("streams", clusters.collect()).await;
    let hub_cluster = lab.cluster("hub").unwrap();
    install_definitions(&hub_cluster.kubeconfig()).await;
    let operator = OperatorProcess::start(hub_cluster, "one").await;
    let hub = Hub(hub_cluster.client().await.unwrap());
    for member in MEMBERS {
        lab.load_image(member, &image.archive).await.unwrap();
        hub.join(lab.cluster(member).unwrap()).await;
    }
    serve(&hub, &image.reference).await;
    let gateway = Gateway::start(hub_cluster).await;
    until_serving(&gateway, &MEMBERS).await;

    let load = Load::start(&gateway.address, MODEL, 1);
    load.until("shares can be seen", |seen| seen.len() >= ENOUGH).await;
    let seen = load.end().await;
    assert_all_completed(&seen);
    assert_the_slow_one_gets_less(&seen);

    balancers::are_in_front_of_all_clusters(hub_cluster, &hub).await;
    until_serving(&gateway, &MEMBERS).await;

    let load = Load::start(&gateway.address, MODEL, 2);
    load.until("it has streams", |seen| in_cluster(seen, LOST) >= SOME).await;
    lab.partition(LOST).await.unwrap();
    sleep(AFTER).await;
    assert_only_streams_broke("network", &gateway, &load.end().await);

    lab.heal(LOST).await.unwrap();
    until_serving(&gateway, &MEMBERS).await;
    let load = Load::start(&gateway.address, MODEL, 3);
    load.until("it has streams again", |seen| in_cluster(seen, LOST) >= SOME).await;
    lab.stop(LOST).await.unwrap();
    sleep(AFTER).await;
    assert_only_streams_broke("power", &gateway, &load.end().await);

    drop(gateway);
    assert!(operator.stop().await.success());
    lab.down().await.unwrap();
}

/// A replica in each member, behind NodePorts, and a route to them by Least Response Time.
async fn serve(hub: &Hub, image: &str) {
    let node = json!({"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}});
    let mut spec = spec(image, MEMBERS.len(), "NodePort");
    spec["runtime"]["args"] = json!(["--slow-node", SLOW, "--slow-first", SLOW_FIRST]);
    spec["runtime"]["podTemplate"] = json!({"spec": {
        "terminationGracePeriodSeconds": 8, "containers": [{"name": "runtime", "env": [node]}],
    }});
    hub.create("ModelDeployment", MODEL, spec).await;
    hub.wait("ModelDeployment", MODEL, ["Ready", "True", "AsSpecified"]).await;
    let route = json!({"models": [MODEL], "backends": [{"modelDeploymentRef": {"name": MODEL}}]});
    hub.create("ModelRoute", MODEL, route).await;
    hub.wait("ModelRoute", MODEL, ["Ready", "True", "AsSpecified"]).await;
}

/// Waits until the gateway sends requests to all of these clusters.
async fn until_serving(gateway: &Gateway, members: &[&str]) {
    eventually("all clusters serve", || async {
        let routes = gateway.routes().await?;
        let endpoints = routes[0]["backends"][0]["endpoints"].as_array().cloned().unwrap_or_default();
        let serve =
            |member: &&str| endpoints.iter().any(|of| of["cluster"] == **member && of["condition"] == "Serving");
        if members.iter().all(serve) { Ok(()) } else { Err(routes.to_string()) }
    })
    .await;
}

fn in_cluster(seen: &[Seen], cluster: &str) -> usize {
    seen.iter().filter(|seen| seen.cluster.as_deref() == Some(cluster)).count()
}

fn assert_all_completed(seen: &[Seen]) {
    let others: Vec<_> = seen.iter().filter(|seen| seen.outcome != Outcome::Completed).collect();
    assert!(others.is_empty(), "with all clusters there: {others:?}");
}

fn assert_the_slow_one_gets_less(seen: &[Seen]) {
    let mut waits = BTreeMap::<&str, Vec<Duration>>::new();
    for seen in seen {
        waits.entry(seen.cluster.as_deref().unwrap()).or_default().push(seen.first_byte.unwrap());
    }
    for (cluster, waits) in &mut waits {
        waits.sort_unstable();
        let (share, median) = (100 * waits.len() / seen.len(), waits[waits.len() / 2]);
        println!("{cluster}: {} streams, {share} %, median time to the first byte {median:.0?}", waits.len());
    }
    let fair = seen.len() / MEMBERS.len();
    let slow = waits.get(SLOW).map_or(0, Vec::len);
    assert!(slow < fair, "the slow cluster had {slow} streams, and its fair share are {fair}");
    assert_eq!(waits.len(), MEMBERS.len(), "each was asked: {waits:?}");
}

/// A cluster was lost: what had not started is answered by others, and what ran elsewhere goes on.
fn assert_only_streams_broke(what: &str, gateway: &Gateway, seen: &[Seen]) {
    let with = |outcome: fn(&Outcome) -> bool| seen.iter().filter(|seen| outcome(&seen.outcome)).collect::<Vec<_>>();
    let (completed, broken) = (with(|one| *one == Outcome::Completed), with(|one| matches!(one, Outcome::Broken(_))));
    let failed = with(|one| matches!(one, Outcome::Failed(_)));
    let retried = gateway.log().iter().filter(|line| line["attempts"].as_u64() > Some(1)).count();
    let longest = completed.iter().filter_map(|seen| seen.first_byte).max().unwrap_or_default();
    println!(
        "{what} lost: {} streams, {} completed, {} broken in the lost cluster, {} that had not started failed \
         (first bytes came within {longest:.1?}; {retried} requests were sent again since the gateway's start)",
        seen.len(),
        completed.len(),
        broken.len(),
        failed.len(),
    );
    assert!(failed.is_empty(), "{failed:?}");
    let elsewhere: Vec<_> = broken.iter().filter(|seen| seen.cluster.as_deref() != Some(LOST)).collect();
    assert!(elsewhere.is_empty(), "broke where nothing was lost: {elsewhere:?}");
    assert!(!completed.is_empty());
}
