//! What an Apache httpd has, in words that all load balancers have in common: pure.

use std::collections::BTreeMap;

use super::Actual;
use super::live::{LiveMember, LivePool};
use super::render;
use crate::{Shown, ShownServer, ShownState};

pub(super) fn shown(actual: &Actual) -> Shown {
    let routes = actual.managed.as_deref().map(render::routes).unwrap_or_default();
    let pools = actual.live.pools.iter();
    let pools = pools.map(|(name, pool)| (routes.get(name).unwrap_or(name).clone(), servers(pool)));
    Shown { pools: pools.collect() }
}

/// A member that gets nothing any more is there until the server reads its files again; it is told of as long as it has requests.
fn servers(pool: &LivePool) -> BTreeMap<String, ShownServer> {
    let mut servers = BTreeMap::<String, ShownServer>::new();
    let there = pool.members.iter().filter(|(_, one)| !one.is_out() || one.busy > 0);
    for (member, one) in there {
        let shown = ShownServer { weight: one.factor, state: state(one), in_flight: Some(one.busy) };
        let server = servers.entry(member.address.to_string()).or_insert(shown);
        if server.state == ShownState::Draining {
            *server = shown;
        }
    }
    servers
}

fn state(member: &LiveMember) -> ShownState {
    if member.is_out() || member.flags.contains("Drn") {
        ShownState::Draining
    } else if member.is_down() || member.flags.contains("Stop") {
        ShownState::Down
    } else {
        ShownState::Serving
    }
}
