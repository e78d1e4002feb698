//! Apache httpd, held to what holds of all.

mod changes;
mod grpc;
mod meddled;
mod requests;
mod server;
mod tls;

use crate::conformance;
use server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn requests_find_their_route() {
    conformance::requests_find_their_route::<Server>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_cannot_be_takes_no_other_down() {
    conformance::a_route_that_cannot_be_takes_no_other_down::<Server>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_as_weights_say() {
    conformance::shares_are_as_weights_say::<Server>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_gets_less_by_least_connection() {
    conformance::a_slow_server_gets_less_by_least_connection::<Server>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_costs_no_request() {
    conformance::a_dead_server_costs_no_request::<Server>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_header_has_one_server() {
    conformance::one_header_has_one_server::<Server>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_come_and_go_under_load() {
    conformance::servers_come_and_go_under_load::<Server>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_server_finishes_its_streams() {
    conformance::a_removed_server_finishes_its_streams::<Server>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settled_is_settled() {
    conformance::settled_is_settled::<Server>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_after_any_step_it_goes_on() {
    conformance::stopped_after_any_step_it_goes_on::<Server>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_killed_after_any_step() {
    conformance::the_server_is_killed_after_any_step::<Server>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hand_made_changes_are_repaired() {
    conformance::hand_made_changes_are_repaired::<Server>().await;
}
