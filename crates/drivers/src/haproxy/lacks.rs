//! What of a route HAProxy cannot do: pure. What holds for every route is said in the documentation only.

use std::net::IpAddr;

use skyfleet_gateway::config::{Affinity, AffinityBy, Algorithm, Ejection, RouteConfig, Timeouts, UpstreamTls};
use skyfleet_gateway::tls::check;

use super::names::{is_host, is_one_line, is_plain};
use crate::Lack;
use crate::pools::Pool;

/// Bytes of a request's body where a route does not say.
const USUAL_REQUEST_BYTES: u64 = 16 << 20;

/// All of a route's.
pub(super) fn of(pool: &Pool<'_>, has_agent: bool) -> Vec<Lack> {
    let route = pool.route;
    let mut lacks: Vec<Lack> = refused(pool).into_iter().collect();
    lacks.extend(requests(route));
    lacks.extend(balancing(pool, has_agent));
    lacks.extend(failures(route));
    lacks.extend(super::lacking_limits::of(route));
    lacks
}

/// Why a route cannot be carried out.
fn refused(pool: &Pool<'_>) -> Option<Lack> {
    let route = pool.route;
    if let Some(UpstreamTls::NotReady(why)) = &route.tls {
        return Some(Lack::refused("spec.tls", format!("nothing is sent in clear text instead: {why}")));
    }
    if let Some(server) = pool.servers.iter().find(|server| !is_host(&server.host)) {
        return Some(Lack::refused("spec.backends", format!("{:?} is neither an address nor a host", server.host)));
    }
    if let Some(UpstreamTls::Spoken(tls)) = &route.tls {
        // HAProxy would refuse all routes for one that has it read what is no certificate.
        if let Err(error) = check(tls) {
            return Some(Lack::refused("spec.tls", error.to_string()));
        }
        let names_one = tls.server_name.is_some();
        if let Some(server) = pool.servers.iter().find(|one| !names_one && one.host.parse::<IpAddr>().is_ok()) {
            let why = format!("HAProxy checks certificates against names only, and {} is an address", server.host);
            return Some(Lack::refused("spec.tls.serverName", why));
        }
        if tls.server_name.as_ref().is_some_and(|name| !is_plain(name)) {
            return Some(Lack::refused("spec.tls.serverName", "it is not the name of a host"));
        }
    }
    if route.health.as_ref().and_then(|health| health.path.as_ref()).is_some_and(|path| !is_one_line(path)) {
        return Some(Lack::refused("spec.healthCheck.path", "it has a control character"));
    }
    let renamed = route.backends.iter().filter(|one| one.weight > 0).filter_map(|one| one.model.as_ref());
    let models = &route.matching.models;
    let renamed = renamed.into_iter().find(|to| models.is_empty() || models.iter().any(|model| model != *to))?;
    let why = format!("HAProxy does not change bodies, and {renamed:?} would have to be put into them");
    Some(Lack::refused("spec.backends[].modelName", why))
}

fn requests(route: &RouteConfig) -> Vec<Lack> {
    let mut lacks = Vec::new();
    if !route.matching.models.is_empty() {
        let instead = "the header X-Gateway-Model-Name is looked at, and not the field model of bodies";
        lacks.push(Lack::new("spec.models", instead));
    }
    if route.shadow.is_some() {
        lacks.push(Lack::new("spec.shadow", "no copies are sent"));
    }
    if route.hedging.is_some() {
        lacks.push(Lack::new("spec.hedging", "no second server is asked while one has not answered"));
    }
    lacks
}

fn balancing(pool: &Pool<'_>, has_agent: bool) -> Vec<Lack> {
    let (route, mut lacks) = (pool.route, Vec::new());
    if pool.out_of_reach > 0 {
        let instead = format!("{} endpoints behind API servers get no requests", pool.out_of_reach);
        lacks.push(Lack::new("spec.backends", instead));
    }
    if !super::servers::are_exact(&pool.servers, super::servers::are_raised(route, has_agent)) {
        let instead = "weights go from 1 to 256, and the nearest to the shares are taken";
        lacks.push(Lack::new("spec.backends[].weight", instead));
    }
    if route.algorithm == Algorithm::LeastResponseTime && !has_agent && route.affinity.is_none() {
        let instead = "without the agent's address it is done as LeastConnection";
        lacks.push(Lack::new("spec.algorithm", instead));
    }
    match route.affinity.as_ref().map(|affinity| &affinity.by) {
        Some(AffinityBy::PromptPrefix(_)) => {
            lacks.push(Lack::new("spec.affinity.promptPrefix", "requests go where the algorithm has them"));
        }
        Some(AffinityBy::Header(name) | AffinityBy::Cookie { name, .. }) if !is_plain(name) => {
            let instead = "only letters, digits, '-', '_' and '.' are taken: requests go where the algorithm has them";
            lacks.push(Lack::new("spec.affinity", instead));
        }
        Some(AffinityBy::Header(_) | AffinityBy::ClientAddress) if route.algorithm != Algorithm::RoundRobin => {
            lacks.push(Lack::new("spec.algorithm", "with affinity, requests without its key go round in turn"));
        }
        _ => {}
    }
    if route.locality.is_some() && route.most_in_flight.is_some() {
        let instead = "servers elsewhere get requests when no local one is up, and not when these are loaded";
        lacks.push(Lack::new("spec.locality.spillOverPercent", instead));
    }
    let mut prices: Vec<_> = route.backends.iter().flat_map(|one| &one.endpoints).map(|one| one.egress_price).collect();
    prices.retain(|price| *price > 0);
    prices.dedup();
    if route.locality.is_some() && prices.len() > 1 {
        lacks.push(Lack::new("spec.locality", "what answers cost on their way does not count"));
    }
    lacks
}

fn failures(route: &RouteConfig) -> Vec<Lack> {
    let (usual, timeouts, mut lacks) = (Timeouts::default(), route.timeouts, Vec::new());
    if timeouts.request.is_some() {
        lacks.push(Lack::new("spec.timeouts.requestSeconds", "requests may take any time as long as something comes"));
    }
    if timeouts.idle != usual.idle && timeouts.idle < timeouts.first_byte {
        let instead = "one time counts for the first byte and for what follows: firstByteSeconds";
        lacks.push(Lack::new("spec.timeouts.idleSeconds", instead));
    }
    if route.retries.attempts > 0 && route.retries.budget_percent != 20 {
        lacks
            .push(Lack::new("spec.retries.budgetPercent", "each request has its attempts, whatever becomes of others"));
    }
    let ejection = route.ejection;
    if ejection != Ejection::default() && ejection.most_percent > 0 {
        let instead =
            "only servers that cannot be reached are ejected, all of them if need be, and each time for as long";
        lacks.push(Lack::new("spec.outlierEjection", instead));
    }
    if route.health.as_ref().is_some_and(|health| health.path.is_none()) {
        lacks.push(Lack::new("spec.healthCheck", "instead of a call of gRPC a connection is made"));
    }
    if ![0, USUAL_REQUEST_BYTES].contains(&route.request_bytes) {
        lacks.push(Lack::new("spec.limits.requestBytes", "bodies that come without their length are passed on"));
    }
    lacks
}

/// A route of which nothing is left that could not be written down: the lacks say so.
pub(super) fn sound(route: &RouteConfig) -> RouteConfig {
    let mut route = route.clone();
    let is_sound = |affinity: &Affinity| match &affinity.by {
        AffinityBy::Header(name) | AffinityBy::Cookie { name, .. } => is_plain(name),
        AffinityBy::ClientAddress => true,
        AffinityBy::PromptPrefix(_) => false,
    };
    route.affinity = route.affinity.filter(is_sound);
    route.limits.client_header = route.limits.client_header.filter(|name| is_plain(name));
    route
}
