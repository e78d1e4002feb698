//! What NGINX cannot do of a route: pure. What everybody has by default is passed over; the documentation tells it.

use std::time::Duration;

use skyfleet_gateway::config::{AffinityBy, Algorithm, Ejection, Retries, RouteConfig, Timeouts};

use super::text::{header_variable, is_cookie, is_host};
use crate::Lack;
use crate::pools::{Pool, Server};

/// By default the most that spills over.
const USUAL_SPILL_OVER: u32 = 80;
/// By default the most that a server has by affinity.
const USUAL_BOUND: u32 = 125;

/// What of the route is done in another way, or not.
pub(super) fn lacks(pool: &Pool<'_>, is_hashed: bool) -> Vec<Lack> {
    let mut all = Vec::new();
    let route = pool.route;
    requests(&mut all, route);
    backends(&mut all, pool);
    balancing(&mut all, pool, is_hashed);
    affinity(&mut all, route);
    times(&mut all, route);
    failures(&mut all, route);
    limits(&mut all, route);
    all
}

fn requests(all: &mut Vec<Lack>, route: &RouteConfig) {
    if !route.matching.models.is_empty() {
        let instead = "NGINX does not look into bodies: the header X-Gateway-Model-Name says which model is meant, and the list of \
                       models is not answered";
        all.push(Lack::new("spec.models", instead));
    }
    if let Some(named) =
        route.backends.iter().find(|backend| backend.weight > 0 && is_renamed(route, backend.model.as_ref()))
    {
        let why = format!(
            "NGINX does not change bodies, so that {} would be asked for models of another name, and nothing is sent",
            named.name
        );
        all.push(Lack::refused("spec.backends[].modelName", why));
    }
    if route.shadow.is_some() {
        let instead = "no copies are sent: NGINX would have clients wait until they are answered";
        all.push(Lack::new("spec.shadow", instead));
    }
}

/// Whether requests may name a model in another way.
fn is_renamed(route: &RouteConfig, model: Option<&String>) -> bool {
    model.is_some_and(|model| route.matching.models != [model.clone()])
}

fn backends(all: &mut Vec<Lack>, pool: &Pool<'_>) {
    if pool.out_of_reach > 0 {
        let instead = format!(
            "{} endpoints get no requests: only the gateway reaches them, through the API servers of their clusters",
            pool.out_of_reach
        );
        all.push(Lack::new("spec.backends", instead));
    }
    let no_hosts: Vec<_> = pool.servers.iter().filter(|server| !is_server(server)).collect();
    if let [first, ..] = no_hosts[..] {
        let instead = format!(
            "{} endpoints get no requests: {:?} in cluster {} is no address or name of a host with a port",
            no_hosts.len(),
            first.address(),
            first.cluster
        );
        all.push(Lack::new("spec.backends", instead));
    }
}

/// Whether NGINX can have it.
pub(super) fn is_server(server: &Server) -> bool {
    is_host(&server.host) && server.port > 0
}

fn balancing(all: &mut Vec<Lack>, pool: &Pool<'_>, is_hashed: bool) {
    let route = pool.route;
    if route.algorithm == Algorithm::LeastResponseTime {
        all.push(Lack::new("spec.algorithm", "LeastConnection: only NGINX Plus goes by response times"));
    }
    let is_mixed =
        pool.servers.iter().any(|server| server.is_remote) && pool.servers.iter().any(|server| !server.is_remote);
    if is_hashed && is_mixed {
        let instead = "with affinity NGINX takes all endpoints alike, also those in other clusters";
        all.push(Lack::new("spec.locality.policy", instead));
    }
    let spills = route.locality.as_ref().map(|locality| locality.spill_over_percent);
    if !is_hashed
        && route.most_in_flight.is_some()
        && spills.is_some_and(|percent| ![USUAL_SPILL_OVER, 100].contains(&percent))
    {
        let instead = "100: NGINX asks endpoints in other clusters when all local ones are full or fail";
        all.push(Lack::new("spec.locality.spillOverPercent", instead));
    }
    if route.slow_start > Duration::ZERO {
        all.push(Lack::new("spec.slowStartSeconds", "0: only NGINX Plus has a slow start"));
    }
}

fn affinity(all: &mut Vec<Lack>, route: &RouteConfig) {
    let Some(affinity) = &route.affinity else { return };
    let lack = match &affinity.by {
        AffinityBy::Header(name) if header_variable(name).is_none() => {
            Lack::new("spec.affinity.header", "none: NGINX knows only headers of letters, digits and -")
        }
        AffinityBy::Cookie { name, .. } if !is_cookie(name) => Lack::new(
            "spec.affinity.cookie",
            "none: only cookies whose names are of letters, digits, '-', '_' and '.' can be set",
        ),
        AffinityBy::PromptPrefix(_) => Lack::new("spec.affinity.promptPrefix", "none: NGINX does not look into bodies"),
        _ if affinity.bound_percent != USUAL_BOUND => {
            Lack::new("spec.affinity.boundPercent", "no bound: an endpoint gets all requests that belong to it")
        }
        _ => return,
    };
    all.push(lack);
}

fn times(all: &mut Vec<Lack>, route: &RouteConfig) {
    let times = &route.timeouts;
    if times.request.is_some() {
        let instead =
            "for ever, once an endpoint has the request: NGINX bounds only the time in which others are asked";
        all.push(Lack::new("spec.timeouts.requestSeconds", instead));
    }
    if times.first_byte < times.idle {
        let instead = "as long as idleSeconds: NGINX has one time for both";
        all.push(Lack::new("spec.timeouts.firstByteSeconds", instead));
    } else if times.idle < times.first_byte && times.idle != Timeouts::default().idle {
        let instead = "for answers as long as firstByteSeconds: NGINX has one time for both";
        all.push(Lack::new("spec.timeouts.idleSeconds", instead));
    }
}

fn failures(all: &mut Vec<Lack>, route: &RouteConfig) {
    if route.retries.attempts > 0 && route.retries.budget_percent != Retries::default().budget_percent {
        all.push(Lack::new("spec.retries.budgetPercent", "any share: NGINX has no budget"));
    }
    if route.hedging.is_some() {
        all.push(Lack::new("spec.hedging", "no second endpoint is asked"));
    }
    if ![0, 100, Ejection::default().most_percent].contains(&route.ejection.most_percent) {
        all.push(Lack::new("spec.outlierEjection.maxPercent", "100: NGINX may leave out all endpoints at once"));
    }
    if route.health.is_some() {
        let instead = "none: only NGINX Plus asks endpoints by itself, and failed requests have to tell";
        all.push(Lack::new("spec.healthCheck", instead));
    }
}

fn limits(all: &mut Vec<Lack>, route: &RouteConfig) {
    if route.queue.is_some() {
        all.push(Lack::new("spec.limits.queue", "none: what finds no endpoint is answered with 502 at once"));
    }
    let limits = &route.limits;
    if limits.per_client.is_some()
        && limits.client_header.as_deref().is_some_and(|name| header_variable(name).is_none())
    {
        let instead = "by their addresses: NGINX knows only headers of letters, digits and -";
        all.push(Lack::new("spec.limits.perClient.header", instead));
    }
    for (rates, field) in [
        (limits.per_client, "spec.limits.perClient.tokensPerMinute"),
        (limits.total, "spec.limits.total.tokensPerMinute"),
    ] {
        if rates.is_some_and(|rates| rates.tokens_per_minute.is_some()) {
            all.push(Lack::new(field, "any number: NGINX does not count tokens"));
        }
    }
}

#[cfg(test)]
mod tests;
