//! Placement when clouds fail: four members with real pods behind real NodePorts, and the operator beside the hub. A cluster is
//! lost under load and returns; three of four are cut off from the hub; a canary fails its gate.
//!
//! One lab serves all steps, one after another.

mod canary;
mod fleet;
mod load;
mod lost_under_load;
mod partition;

use crate::operator_process::OperatorProcess;
use fleet::Members;

#[tokio::test(flavor = "multi_thread")]
async fn replicas_outlive_clouds_that_fail() {
    let members = Members::up("placement").await;
    let operator = OperatorProcess::start(members.hub_cluster(), "operator").await;
    members.join().await;
    members.serve().await;
    lost_under_load::a_cluster_is_lost_and_returns(&members).await;
    partition::three_of_four_cut_off_move_nothing(&members).await;
    canary::a_canary_that_fails_is_rolled_back_and_a_good_one_goes_all_the_way(&members).await;
    members.dissolve().await;
    assert!(operator.stop().await.success());
    members.lab.down().await.unwrap();
}
