//! A member that cannot be reached does not block a deletion for ever, and what is left there goes when it returns.

use skyfleet_e2e::fleet::{Fleet, HUB, MEMBERS};

use super::fleet_state::{condition, nothing_is_left};
use crate::support::eventually;

const LOST: &str = "azure-1";
const ABANDON: &str = "skyfleet.dev/abandon-unreachable=true";

pub(super) async fn a_deletion_goes_on_without_a_lost_member(fleet: &Fleet) {
    fleet.lab.stop_control_plane(LOST).await.unwrap();
    eventually("the hub notices", || async {
        let reachable = condition(fleet, "cluster", LOST, "Reachable").await?;
        if reachable["status"] == "False" { Ok(()) } else { Err(reachable.to_string()) }
    })
    .await;
    fleet.kubectl(HUB, &["delete", "modeldeployment", "minilm", "--wait=false"], "").await.unwrap();
    for member in MEMBERS.into_iter().filter(|member| *member != LOST) {
        eventually(&format!("{member} is empty"), || nothing_is_left(fleet, member)).await;
    }
    eventually("the object says what it waits for and how that ends", || async {
        let ready = condition(fleet, "modeldeployment", "minilm", "Ready").await?;
        let message = ready["message"].as_str().unwrap_or_default();
        if message.contains(LOST) && message.contains(ABANDON) { Ok(()) } else { Err(ready.to_string()) }
    })
    .await;
    fleet.kubectl(HUB, &["annotate", "modeldeployment", "minilm", ABANDON], "").await.unwrap();
    fleet.kubectl(HUB, &["wait", "modeldeployment", "minilm", "--for=delete", "--timeout=60s"], "").await.unwrap();

    fleet.lab.start_control_plane(LOST).await.unwrap();
    eventually("what was left goes when the member returns", || nothing_is_left(fleet, LOST)).await;
}
