//! A member's API server goes away and comes back.

use std::time::{Duration, Instant};

use skyfleet_e2e::fleet::{Fleet, HUB, NAMESPACE, embed};

use super::fleet_state::{condition, json, placements, pods, wait_ready};
use crate::support::eventually;

const LOST: &str = "gcp-1";
const OTHER: &str = "aws-1";
/// From the API server's end until the hub says so.
const NOTICED: Duration = Duration::from_mins(1);

pub(super) async fn a_lost_member_is_left_alone_and_adopted_on_return(fleet: &Fleet) {
    let before = pods(fleet, LOST).await;
    let endpoint = endpoint(fleet, LOST).await;
    fleet.lab.stop_control_plane(LOST).await.unwrap();
    let stopped = Instant::now();
    eventually("the hub notices", || async {
        let reachable = condition(fleet, "cluster", LOST, "Reachable").await?;
        if reachable["status"] == "False" { Ok(()) } else { Err(reachable.to_string()) }
    })
    .await;
    let noticed = stopped.elapsed();
    println!("Reachable=False after {} s", noticed.as_secs());
    assert!(noticed < NOTICED, "it took {noticed:?}");

    // Its replicas go on serving and are counted; the others are changed as before.
    embed(&endpoint, "still here").await.unwrap();
    assert_eq!(placements(fleet).await[LOST].0, 2);
    fleet.kubectl(HUB, &["scale", "modeldeployment", "minilm", "--replicas", "8"], "").await.unwrap();
    eventually("the others take what is added", || async {
        let found = placements(fleet).await;
        let added = found.get(OTHER) == Some(&(3, 3)) && found.get("azure-1") == Some(&(3, 3));
        if added && found[LOST].0 == 2 { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    let ready = condition(fleet, "modeldeployment", "minilm", "Ready").await.unwrap();
    assert_eq!(ready["reason"], "MemberUnreachable", "{ready}");

    fleet.lab.start_control_plane(LOST).await.unwrap();
    wait_ready(fleet, "cluster", LOST).await;
    wait_ready(fleet, "modeldeployment", "minilm").await;
    assert_eq!(pods(fleet, LOST).await, before, "the same pods, none restarted");
    fleet.kubectl(HUB, &["scale", "modeldeployment", "minilm", "--replicas", "6"], "").await.unwrap();
    wait_ready(fleet, "modeldeployment", "minilm").await;
}

async fn endpoint(fleet: &Fleet, cluster: &str) -> String {
    let model = json(fleet, HUB, &["get", "modeldeployment", "minilm", "-n", NAMESPACE]).await;
    let placements = model["status"]["placements"].as_array().unwrap().clone();
    let placement = placements.into_iter().find(|placement| placement["cluster"] == cluster).unwrap();
    placement["endpoint"].as_str().unwrap().to_owned()
}
