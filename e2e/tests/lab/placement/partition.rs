//! Three of four members are cut off at once: likelier the hub's own fault than theirs.

use std::time::Duration;

use super::fleet::{GRACE_SECONDS, MEMBERS, Members, shares};
use crate::support::eventually;

const CUT_OFF: [&str; 3] = ["aws-1", "azure-1", "gcp-1"];

pub(super) async fn three_of_four_cut_off_move_nothing(members: &Members) {
    let mut before = Vec::new();
    for member in MEMBERS {
        before.push(members.pods(member).await);
    }
    for member in CUT_OFF {
        members.lab.partition(member).await.unwrap();
    }
    eventually("the hub suspects itself", || async {
        let status = members.status().await;
        let said = status["conditions"].to_string();
        if said.contains("3 of 4 clusters fell silent together") { Ok(()) } else { Err(said) }
    })
    .await;
    tokio::time::sleep(Duration::from_secs(GRACE_SECONDS * 3)).await;
    assert_eq!(members.placements().await, shares([2, 2, 2, 2]), "something was moved");
    assert_eq!(members.pods("onprem-1").await.len(), 2, "something was made where the hub still reaches");

    for member in CUT_OFF {
        members.lab.heal(member).await.unwrap();
    }
    for member in CUT_OFF {
        members.hub.wait("Cluster", member, ["Ready", "True", "AsSpecified"]).await;
    }
    members.wait_ready().await;
    assert_eq!(members.placements().await, shares([2, 2, 2, 2]));
    for (member, before) in MEMBERS.into_iter().zip(before) {
        assert_eq!(members.pods(member).await, before, "{member}: the same pods, and no other");
    }
    println!("three of four cut off for more than three grace periods: no pod was moved, made or ended");
}
