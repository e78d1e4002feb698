//! What of a route's limits HAProxy cannot do: pure.

use skyfleet_gateway::config::{Rates, RouteConfig};

use super::names::is_plain;
use crate::Lack;

/// All of a route's.
pub(super) fn of(route: &RouteConfig) -> Vec<Lack> {
    let (limits, mut lacks) = (&route.limits, Vec::new());
    let counts_tokens = |rates: Option<Rates>| rates.is_some_and(|rates| rates.tokens_per_minute.is_some());
    if counts_tokens(limits.per_client) {
        lacks.push(Lack::new("spec.limits.perClient.tokensPerMinute", "tokens are not counted"));
    }
    if counts_tokens(limits.total) {
        lacks.push(Lack::new("spec.limits.total.tokensPerMinute", "tokens are not counted"));
    }
    if limits.client_header.as_ref().is_some_and(|name| !is_plain(name)) {
        let instead = "only letters, digits, '-', '_' and '.' are taken: clients are told apart by their addresses";
        lacks.push(Lack::new("spec.limits.perClient.header", instead));
    }
    if route.queue.is_some() {
        let instead = if route.most_in_flight.is_some() {
            "requests wait while all servers are full, and not while none is ready"
        } else {
            "without maxInFlightPerReplica nobody waits"
        };
        lacks.push(Lack::new("spec.limits.queue", instead));
    }
    lacks
}
