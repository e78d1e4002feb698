//! HAProxy itself, as the documentation has it set up.

mod features;
mod meddled;
mod refused;
mod reload;
mod response_times;
mod routing;
mod running;
mod tls;

use crate::conformance;
use running::Running;

#[tokio::test(flavor = "multi_thread")]
async fn requests_find_their_route() {
    conformance::requests_find_their_route::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_cannot_be_takes_no_other_down() {
    conformance::a_route_that_cannot_be_takes_no_other_down::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_as_weights_say() {
    conformance::shares_are_as_weights_say::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_gets_less_by_least_connection() {
    conformance::a_slow_server_gets_less_by_least_connection::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_costs_no_request() {
    conformance::a_dead_server_costs_no_request::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_header_has_one_server() {
    conformance::one_header_has_one_server::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_come_and_go_under_load() {
    conformance::servers_come_and_go_under_load::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_server_finishes_its_streams() {
    conformance::a_removed_server_finishes_its_streams::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settled_is_settled() {
    conformance::settled_is_settled::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hand_made_changes_are_repaired() {
    conformance::hand_made_changes_are_repaired::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_after_any_step_it_goes_on() {
    conformance::stopped_after_any_step_it_goes_on::<Running>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_killed_after_any_step() {
    conformance::the_server_is_killed_after_any_step::<Running>().await;
}
