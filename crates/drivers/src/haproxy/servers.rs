//! A route's servers: pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use skyfleet_gateway::config::{Algorithm, RouteConfig};

use super::names;
use super::tls::Spoken;
use super::wanted::Server;
use crate::pools::{self, Pool};

/// The largest weight that HAProxy has.
const MOST: u32 = 256;

/// More requests at once than any server has.
const LARGEST_LIMIT: u32 = 1_000_000;

/// Where weights are raised: an agent has up to three times of that.
const MOST_RAISED: u32 = MOST / 3;

/// From one question to the agent to the next.
const AGENT_INTERVAL: &str = "1s";

/// Servers by name.
pub(super) fn servers(pool: &Pool<'_>, agent: Option<(SocketAddr, &str)>, spoken: &Spoken) -> BTreeMap<String, Server> {
    let weights = weights(&pool.servers, are_raised(pool.route, agent.is_some()));
    let mut taken = Vec::with_capacity(pool.servers.len());
    let servers = pool.servers.iter().zip(weights).map(|(server, weight)| {
        let name = names::server(&server.host, server.port);
        let mut number = names::number(&name);
        while taken.contains(&number) {
            number = number.wrapping_add(1) & 0x7fff_ffff;
        }
        taken.push(number);
        let asked = agent.map(|(agent, backend)| {
            format!(
                "agent-check agent-addr {} agent-port {} agent-inter {AGENT_INTERVAL} agent-send {backend}/{name}!",
                agent.ip(),
                agent.port()
            )
        });
        let own = [spoken.own(&server.host), asked].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let most_in_flight = most_in_flight(pool.route, &server.host, server.port);
        (name, Server { number, weight, is_backup: server.is_remote, most_in_flight, own })
    });
    servers.collect()
}

/// Where they are raised, a part of one can be told, and hashing has many points for each server, so that these have their shares of the keys.
fn weights(servers: &[pools::Server], are_raised: bool) -> Vec<u32> {
    if !are_raised {
        return pools::weights(servers, MOST);
    }
    let largest = servers.iter().map(|server| server.share).max().unwrap_or(1).max(1);
    let factor = (u64::from(MOST_RAISED) / largest).max(1);
    let raised: Vec<_> = servers.iter().map(|one| pools::Server { share: one.share * factor, ..one.clone() }).collect();
    pools::weights(&raised, MOST_RAISED)
}

/// Whether the weights of a route are raised: an agent has them, or hashing.
pub(super) fn are_raised(route: &RouteConfig, has_agent: bool) -> bool {
    route.affinity.is_some() || (has_agent && route.algorithm == Algorithm::LeastResponseTime)
}

/// Whether weights of HAProxy are near enough to the shares.
pub(super) fn are_exact(servers: &[pools::Server], are_raised: bool) -> bool {
    let most = if are_raised { MOST_RAISED } else { MOST };
    let largest = servers.iter().map(|server| u128::from(server.share)).max().unwrap_or_default();
    let weights = pools::weights(servers, most);
    largest <= u128::from(most)
        || servers.iter().zip(weights).all(|(server, weight)| {
            let (is, should) = (u128::from(weight) * largest, u128::from(server.share) * u128::from(most));
            is.abs_diff(should) * 10 <= should
        })
}

/// Of all replicas that one address stands for.
fn most_in_flight(route: &RouteConfig, host: &str, port: u16) -> u32 {
    let Some(each) = route.most_in_flight else { return 0 };
    let endpoints = route.backends.iter().filter(|backend| backend.weight > 0).flat_map(|backend| &backend.endpoints);
    let there =
        endpoints.filter(|one| one.endpoint.host == host && one.endpoint.port == port && !one.endpoint.is_relayed);
    there
        .fold(0, |replicas: u32, one| replicas.saturating_add(one.weight))
        .max(1)
        .saturating_mul(each)
        .clamp(1, LARGEST_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(shares: &[u64]) -> Vec<pools::Server> {
        let server = |share: &u64| {
            let (cluster, name, host) = (String::new(), String::new(), String::new());
            pools::Server { cluster, name, host, port: 1, share: *share, is_remote: false }
        };
        shares.iter().map(server).collect()
    }

    #[test]
    fn weights_are_shares_and_leave_room_where_they_are_raised() {
        for (of, plain, raised) in [
            (&[1, 1][..], vec![1, 1], vec![85, 85]),
            (&[3, 1], vec![3, 1], vec![84, 28]),
            (&[1000, 500], vec![256, 128], vec![85, 43]),
            (&[], vec![], vec![]),
        ] {
            assert_eq!(weights(&shares(of), false), plain);
            assert_eq!(weights(&shares(of), true), raised);
        }
    }

    #[test]
    fn what_weights_cannot_say_is_known() {
        for (of, plain, raised) in [
            (&[85, 1][..], true, true),
            (&[256, 1], true, false),
            (&[1000, 500], true, true),
            (&[1000, 1], false, false),
            (&[], true, true),
        ] {
            assert_eq!((are_exact(&shares(of), false), are_exact(&shares(of), true)), (plain, raised), "{of:?}");
        }
    }
}
