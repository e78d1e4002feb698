//! From routes to what HAProxy is to have: pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use skyfleet_gateway::config::{Affinity, AffinityBy, Algorithm, Config, RouteConfig};

use super::names;
use super::settings::Settings;
use super::tls::Spoken;
use super::wanted::{Asked, Backend, Content, Server, Wanted};
use super::{backend, lacks, map, tls};
use crate::pools::{self, Pool};
use crate::rules::rules;
use crate::{Lack, Plan};

/// The largest weight that HAProxy has.
const MOST: u32 = 256;

/// Of servers whose weights an agent raises up to three times.
const MOST_OF_AGENT: u32 = MOST / 3;

/// From one question to the agent to the next.
const AGENT_INTERVAL: &str = "1s";

/// What HAProxy is to have.
pub(super) fn plan(config: &Config, settings: &Settings) -> Plan<Wanted> {
    let (mut backends, mut files, mut lacking) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut taken = vec![None; config.routes.len()];
    for pool in pools::pools(config) {
        let name = &pool.route.name;
        let lacks = lacks::of(&pool, settings.agent.is_some());
        let is_refused = lacks.iter().any(|lack| lack.is_refused);
        if !lacks.is_empty() {
            lacking.entry(name.clone()).or_insert_with(Vec::<Lack>::new).extend(lacks);
        }
        if is_refused {
            continue;
        }
        let backend_name = names::backend(name);
        let (backend, of_it) = self::backend(&pool, &backend_name, settings);
        backends.insert(backend_name.clone(), backend);
        files.extend(of_it);
        taken[pool.place] = Some(backend_name);
    }
    let entries = rules(config).iter().filter_map(|rule| Some(map::entry(rule, taken[rule.route].as_ref()?))).collect();
    Plan { wanted: Wanted { backends, entries, files }, lacks: lacking }
}

fn backend(pool: &Pool<'_>, name: &str, settings: &Settings) -> (Backend, BTreeMap<String, Content>) {
    let route = &sound(pool.route);
    let agent = settings.agent.filter(|_| route.algorithm == Algorithm::LeastResponseTime && route.affinity.is_none());
    let check = backend::check(route);
    let spoken = tls::spoken(route, settings);
    let mut lines = backend::lines(route);
    lines.extend(spoken.preload.clone());
    if pool.servers.iter().any(|server| server.is_remote) {
        lines.push("option allbackups".to_owned());
    }
    let slow_start =
        (!route.slow_start.is_zero()).then(|| format!("slowstart {}", backend::milliseconds(route.slow_start)));
    let common = [check.clone(), slow_start, spoken.common.clone()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let asked = Asked { health: check.is_some(), agent: agent.is_some() };
    let servers = servers(pool, agent.map(|agent| (agent, name)), &spoken);
    let backend = Backend { lines, common, servers, asked };
    (backend, spoken.files)
}

/// A route of which nothing is left that could not be written down: the lacks say so.
fn sound(route: &RouteConfig) -> RouteConfig {
    let mut route = route.clone();
    let is_sound = |affinity: &Affinity| match &affinity.by {
        AffinityBy::Header(name) | AffinityBy::Cookie { name, .. } => names::is_plain(name),
        AffinityBy::ClientAddress => true,
        AffinityBy::PromptPrefix(_) => false,
    };
    route.affinity = route.affinity.filter(is_sound);
    route.limits.client_header = route.limits.client_header.filter(|name| names::is_plain(name));
    route
}

fn servers(pool: &Pool<'_>, agent: Option<(SocketAddr, &str)>, spoken: &Spoken) -> BTreeMap<String, Server> {
    let weights = weights(&pool.servers, agent.is_some());
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

fn weights(servers: &[pools::Server], is_weighed: bool) -> Vec<u32> {
    if !is_weighed {
        return pools::weights(servers, MOST);
    }
    // Weights are raised so that a part of them can be told.
    let largest = servers.iter().map(|server| server.share).max().unwrap_or(1).max(1);
    let factor = (u64::from(MOST_OF_AGENT) / largest).max(1);
    let raised: Vec<_> = servers.iter().map(|one| pools::Server { share: one.share * factor, ..one.clone() }).collect();
    pools::weights(&raised, MOST_OF_AGENT)
}

/// Whether weights of HAProxy are near enough to the shares.
pub(super) fn are_exact(servers: &[pools::Server]) -> bool {
    let largest = servers.iter().map(|server| u128::from(server.share)).max().unwrap_or_default();
    let weights = pools::weights(servers, MOST);
    largest <= u128::from(MOST)
        || servers.iter().zip(weights).all(|(server, weight)| {
            let (is, should) = (u128::from(weight) * largest, u128::from(server.share) * u128::from(MOST));
            is.abs_diff(should) * 10 <= should
        })
}

/// Of all replicas that one address stands for.
fn most_in_flight(route: &RouteConfig, host: &str, port: u16) -> u32 {
    let Some(each) = route.most_in_flight else { return 0 };
    let endpoints = route.backends.iter().filter(|backend| backend.weight > 0).flat_map(|backend| &backend.endpoints);
    let there =
        endpoints.filter(|one| one.endpoint.host == host && one.endpoint.port == port && !one.endpoint.is_relayed);
    there.fold(0, |replicas: u32, one| replicas.saturating_add(one.weight)).max(1).saturating_mul(each).max(1)
}
