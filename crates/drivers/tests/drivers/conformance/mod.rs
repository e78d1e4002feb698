//! What holds of every load balancer that routes drive, and of the gateway.

mod affinity;
mod changes;
mod crashes;
mod routing;
mod shares;

pub use affinity::one_header_has_one_server;
pub use changes::{
    a_removed_server_finishes_its_streams, hand_made_changes_are_repaired, none_failed, servers_come_and_go_under_load,
    settled_is_settled,
};
pub use crashes::{stopped_after_any_step_it_goes_on, the_server_is_killed_after_any_step};
pub use routing::{a_route_that_cannot_be_takes_no_other_down, requests_find_their_route};
pub use shares::{
    a_dead_server_costs_no_request, a_slow_server_gets_less_by_least_connection, shares_are_as_weights_say,
};
