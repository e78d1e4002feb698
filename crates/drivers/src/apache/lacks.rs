//! What of a route an Apache httpd cannot do: pure.

use std::time::Duration;

use skyfleet_gateway::config::{
    AffinityBy, Algorithm, Ejection, HealthConfig, Protocol, RouteConfig, Timeouts, TlsSettings, UpstreamTls,
};
use skyfleet_gateway::tls::check;

use super::names;
use super::settings::Settings;
use crate::Lack;
use crate::pools::Pool;

/// What `spec.limits.requestBytes` is if it is not given.
const USUAL_BYTES: u64 = 16 << 20;

/// What is common to all routes without being asked for fills nobody's condition: the documentation says it.
pub(super) fn of(settings: &Settings, shares: &Pool<'_>) -> Vec<Lack> {
    let route = shares.route;
    let mut lacks = Vec::new();
    lacks.extend(name(route));
    lacks.extend(matching(route));
    lacks.extend(backends(shares));
    lacks.extend(balancing(shares));
    lacks.extend(affinity(route));
    lacks.extend(resilience(route));
    lacks.extend(route.health.as_ref().map(|health| checks(settings, route.protocol, health)));
    lacks.extend(limits(route));
    lacks.extend(upstream(settings, route));
    lacks
}

fn name(route: &RouteConfig) -> Option<Lack> {
    let why = "its name cannot be written into Apache's configuration";
    (!names::is_route(&route.name)).then(|| Lack::refused("metadata.name", why))
}

fn matching(route: &RouteConfig) -> Option<Lack> {
    let instead = "Apache does not look into bodies: the header X-Gateway-Model-Name of a request says the model, so \
                   something before Apache has to set it";
    (!route.matching.models.is_empty()).then(|| Lack::new("spec.models", instead))
}

fn backends(shares: &Pool<'_>) -> Vec<Lack> {
    let mut lacks = Vec::new();
    let backends = shares.route.backends.iter().filter(|backend| backend.weight > 0);
    if backends
        .filter_map(|backend| backend.model.as_ref())
        .any(|model| shares.route.matching.models != [model.clone()])
    {
        let why = "Apache does not change bodies: the model that is asked for has to be the one that replicas know";
        lacks.push(Lack::refused("spec.backends[].modelName", why));
    }
    let unnamed = shares.servers.iter().filter(|server| !names::is_host(&server.host)).count();
    if shares.out_of_reach + unnamed > 0 {
        let instead = format!(
            "{} endpoints get nothing: Apache reaches only those that a connection can be made to",
            shares.out_of_reach + unnamed
        );
        lacks.push(Lack::new("spec.backends", instead));
    }
    if shares.route.shadow.is_some() {
        lacks.push(Lack::new("spec.shadow", "Apache sends no copies: the other ModelDeployment gets nothing"));
    }
    lacks
}

fn balancing(shares: &Pool<'_>) -> Vec<Lack> {
    let (route, mut lacks) = (shares.route, Vec::new());
    let are_alike = shares.servers.windows(2).all(|two| two[0].share == two[1].share);
    let instead = match route.algorithm {
        Algorithm::LeastResponseTime => {
            Some("Apache does not know how soon replicas answer: who has the fewest requests in flight is next")
        }
        Algorithm::LeastConnection if !are_alike => {
            Some("weights count only between those that have as many requests in flight")
        }
        Algorithm::LeastConnection | Algorithm::RoundRobin => None,
    };
    lacks.extend(instead.map(|instead| Lack::new("spec.algorithm", instead)));
    if route.slow_start > Duration::ZERO {
        lacks.push(Lack::new("spec.slowStartSeconds", "a replica has its whole share at once"));
    }
    if route.locality.is_some() && route.most_in_flight.is_some() {
        let instead = "replicas elsewhere get requests only when no local one takes any";
        lacks.push(Lack::new("spec.locality.spillOverPercent", instead));
    }
    lacks
}

fn affinity(route: &RouteConfig) -> Vec<Lack> {
    let Some(affinity) = &route.affinity else { return Vec::new() };
    let without = |field| {
        vec![Lack::new(field, "Apache knows sessions by a cookie only: requests go where the algorithm has them")]
    };
    match &affinity.by {
        AffinityBy::Header(_) => without("spec.affinity.header"),
        AffinityBy::ClientAddress => without("spec.affinity.clientAddress"),
        AffinityBy::PromptPrefix(_) => without("spec.affinity.promptPrefix"),
        AffinityBy::Cookie { name, .. } if !names::is_cookie(name) => {
            let instead = "only letters, digits, '-', '_' and '.', and fewer than 60 of them, name a cookie for Apache: requests \
                           go where the algorithm has them";
            vec![Lack::new("spec.affinity.cookie.name", instead)]
        }
        AffinityBy::Cookie { .. } => {
            let instead = "a session stays with its replica, however many requests that has";
            let bounded = affinity.bound_percent != 125;
            bounded.then(|| Lack::new("spec.affinity.boundPercent", instead)).into_iter().collect()
        }
    }
}

fn resilience(route: &RouteConfig) -> Vec<Lack> {
    let mut lacks = Vec::new();
    let (given, usual) = (&route.timeouts, Timeouts::default());
    if (given.first_byte, given.idle) != (usual.first_byte, usual.idle) && given.first_byte != given.idle {
        let instead = "Apache has one time for the first byte and each further one: the longer of firstByteSeconds and idleSeconds";
        lacks.push(Lack::new("spec.timeouts", instead));
    }
    if given.connect != usual.connect {
        let instead = "a replica that comes while Apache runs has the time of firstByteSeconds until Apache reads its files again";
        lacks.push(Lack::new("spec.timeouts.connectMilliseconds", instead));
    }
    if given.request.is_some() {
        lacks.push(Lack::new("spec.timeouts.requestSeconds", "Apache does not bound the whole of a request"));
    }
    if route.retries.budget_percent != 20 {
        lacks.push(Lack::new(
            "spec.retries.budgetPercent",
            "Apache asks another replica each time that one takes no connection",
        ));
    }
    if route.hedging.is_some() {
        lacks.push(Lack::new("spec.hedging", "Apache asks one replica at a time"));
    }
    lacks.extend(ejection(&route.ejection));
    lacks
}

fn ejection(given: &Ejection) -> Vec<Lack> {
    let (usual, mut lacks) = (Ejection::default(), Vec::new());
    if given.consecutive_errors != usual.consecutive_errors {
        let instead =
            "a replica that takes no connection is left out at once, and one that answers with an error is not";
        lacks.push(Lack::new("spec.outlierEjection.consecutiveErrors", instead));
    }
    if given.most_percent != usual.most_percent {
        let instead = "any number of replicas may be left out; if all are, all are asked";
        lacks.push(Lack::new("spec.outlierEjection.maxPercent", instead));
    }
    if given.base != usual.base {
        let instead = "a replica that comes while Apache runs is left out for 60 s until Apache reads its files again";
        lacks.push(Lack::new("spec.outlierEjection.baseEjectionSeconds", instead));
    }
    lacks
}

fn checks(settings: &Settings, protocol: Protocol, health: &HealthConfig) -> Lack {
    if !settings.modules.hcheck {
        let instead = "nothing is checked: Apache has no mod_proxy_hcheck, or the agent was not told that it has";
        return Lack::new("spec.healthCheck", instead);
    }
    let connects = "Apache only looks whether a connection can be made:";
    let why = match &health.path {
        _ if protocol == Protocol::Http2 => "it asks by HTTP/1.1 only",
        None => "it does not call gRPC",
        Some(path) if !names::is_checked_path(path) => {
            "it asks for paths of plain characters, and fewer than 64 of them"
        }
        Some(_) => {
            let instead = "a check waits as long for an answer as a request does";
            return Lack::new("spec.healthCheck.timeoutSeconds", instead);
        }
    };
    Lack::new("spec.healthCheck", format!("{connects} {why}"))
}

fn limits(route: &RouteConfig) -> Vec<Lack> {
    let mut lacks = Vec::new();
    if route.request_bytes > 0 && route.request_bytes != USUAL_BYTES {
        let instead = "what a body's length says is bounded; one that comes in chunks is not";
        lacks.push(Lack::new("spec.limits.requestBytes", instead));
    }
    if route.most_in_flight.is_some() {
        let instead = "replicas get any number at once: Apache would count in each of its processes by itself";
        lacks.push(Lack::new("spec.limits.maxInFlightPerReplica", instead));
    }
    if route.queue.is_some() {
        lacks.push(Lack::new(
            "spec.limits.queue",
            "nobody waits: where no replica takes a request, it is answered with 503",
        ));
    }
    let limits = [(&route.limits.per_client, "spec.limits.perClient"), (&route.limits.total, "spec.limits.total")];
    let given = limits.into_iter().filter(|(rates, _)| rates.is_some());
    lacks.extend(given.map(|(_, field)| Lack::new(field, "Apache bounds neither requests nor tokens a minute")));
    lacks
}

fn upstream(settings: &Settings, route: &RouteConfig) -> Vec<Lack> {
    let mut lacks = Vec::new();
    if route.protocol == Protocol::Http2 && !settings.modules.http2 {
        let why = "Apache has no mod_proxy_http2, or the agent was not told that it has";
        lacks.push(Lack::refused("spec.protocol", why));
    }
    match &route.tls {
        None => {}
        Some(UpstreamTls::NotReady(why)) => lacks.push(Lack::refused("spec.tls", why)),
        Some(UpstreamTls::Spoken(_)) if !settings.modules.ssl => {
            lacks.push(Lack::refused("spec.tls", "Apache has no mod_ssl, or the agent was not told that it has"));
        }
        Some(UpstreamTls::Spoken(tls)) => lacks.extend(tls_of(tls)),
    }
    lacks
}

fn tls_of(tls: &TlsSettings) -> Vec<Lack> {
    // Apache tests its configuration without looking into these files, and ends where it cannot use one.
    if let Err(error) = check(tls) {
        return vec![Lack::refused("spec.tls", error.to_string())];
    }
    if tls.server_name.is_some() {
        let why = "Apache looks for the host of each endpoint in certificates, and cannot be told another name";
        return vec![Lack::refused("spec.tls.serverName", why)];
    }
    let instead = "replicas see the host of their endpoint in Host, and have to have it as a DNS name or the common name of their \
                   certificates, also where it is an address; one that comes has Apache read its files again";
    vec![Lack::new("spec.tls", instead)]
}
