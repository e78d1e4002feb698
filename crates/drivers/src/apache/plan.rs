//! From routes to what an Apache httpd is to have: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use skyfleet_gateway::config::{AffinityBy, Algorithm, Config, HealthConfig, Protocol, RouteConfig, UpstreamTls};

use super::lacks;
use super::names;
use super::section;
use super::settings::Settings;
use super::tls;
use super::wanted::{Address, BalancerParameters, Health, Pool, Server, Taken, Wanted};
use crate::pools::{self, Pool as Shares};
use crate::rules::rules;
use crate::{Lack, Plan};

/// The largest `loadfactor`.
const MOST_WEIGHT: u32 = 100;
/// The most attempts that the balancer-manager takes.
const MOST_ATTEMPTS: u32 = 99;

pub(super) fn plan(settings: &Settings, config: &Config) -> Plan<Wanted> {
    let mut lacks = BTreeMap::<String, Vec<Lack>>::new();
    let mut wanted = Wanted { timeout: longest(&RouteConfig::default()), ..Wanted::default() };
    let mut balancers = BTreeMap::new();
    for shares in pools::pools(config) {
        let route = shares.route;
        let found = lacks::of(settings, &shares);
        let is_refused = found.iter().any(|lack| lack.is_refused);
        if !found.is_empty() {
            lacks.entry(route.name.clone()).or_default().extend(found);
        }
        // One whose name cannot be written cannot be there at all.
        if !names::is_route(&route.name) {
            continue;
        }
        // Its requests are nobody else's, so it has a balancer without members.
        let nobody = RouteConfig { name: route.name.clone(), ..RouteConfig::default() };
        let nobody = Shares { route: &nobody, servers: vec![], ..shares };
        let shares = if is_refused { &nobody } else { &shares };
        let pool = pool(settings, shares, &mut wanted);
        balancers.insert(shares.place, pool.name.clone());
        wanted.timeout = wanted.timeout.max(longest(shares.route));
        wanted.pools.push(pool);
    }
    let taken = rules(config).into_iter().filter_map(|rule| {
        let (pool, bytes) = (balancers.get(&rule.route)?.clone(), config.routes[rule.route].request_bytes);
        Some(Taken::new(rule, pool, bytes))
    });
    wanted.taken = taken.collect();
    Plan { wanted, lacks }
}

fn pool(settings: &Settings, shares: &Shares<'_>, wanted: &mut Wanted) -> Pool {
    let route = shares.route;
    let mut section = section::of(route);
    if let Some(UpstreamTls::Spoken(spoken)) = &route.tls {
        let (directives, certificates) = tls::section(settings, spoken);
        section.extend(directives);
        wanted.certificates.extend(certificates);
    }
    Pool {
        route: route.name.clone(),
        name: names::balancer(&route.name),
        scheme: scheme(route),
        balancer: balancer(route),
        section,
        member: member(route),
        health: route.health.as_ref().filter(|_| settings.modules.hcheck).map(|health| checks(route.protocol, health)),
        // A member that comes while Apache runs has nothing of its section, so none of its settings of TLS.
        grows: route.tls.is_none(),
        servers: servers(shares),
    }
}

/// By `ws` Apache speaks plain HTTP/1.1 and, where a request asks for it, WebSocket; by `http` only members of the file can have that.
fn scheme(route: &RouteConfig) -> &'static str {
    match (route.protocol, route.tls.is_some()) {
        (Protocol::Http1, false) => "ws",
        (Protocol::Http1, true) => "wss",
        (Protocol::Http2, false) => "h2c",
        (Protocol::Http2, true) => "h2",
    }
}

fn balancer(route: &RouteConfig) -> BalancerParameters {
    let method = match route.algorithm {
        Algorithm::RoundRobin => "byrequests",
        Algorithm::LeastConnection | Algorithm::LeastResponseTime => "bybusyness",
    };
    let attempts = route.retries.attempts.min(MOST_ATTEMPTS);
    BalancerParameters { method: method.to_owned(), attempts, cookie: cookie(route).map(str::to_owned) }
}

/// The cookie that tells the member, if it can be one.
pub(super) fn cookie(route: &RouteConfig) -> Option<&str> {
    match &route.affinity.as_ref()?.by {
        AffinityBy::Cookie { name, .. } => names::is_cookie(name).then_some(name),
        AffinityBy::Header(_) | AffinityBy::ClientAddress | AffinityBy::PromptPrefix(_) => None,
    }
}

fn member(route: &RouteConfig) -> String {
    let connect = route.timeouts.connect.as_millis().max(1);
    let retry = route.ejection.base.as_secs();
    format!("retry={retry} timeout={}ms connectiontimeout={connect}ms", longest(route))
}

/// Apache has one time for the first byte and for each further one.
fn longest(route: &RouteConfig) -> u128 {
    route.timeouts.first_byte.max(route.timeouts.idle).max(Duration::from_secs(1)).as_millis()
}

fn checks(protocol: Protocol, health: &HealthConfig) -> Health {
    let path = health.path.clone().filter(|path| protocol == Protocol::Http1 && names::is_checked_path(path));
    // Apache's clock for checks ticks ten times a second.
    let interval = health.interval.as_millis().max(100);
    Health { path, interval, rise: health.rise.max(1), fall: health.fall.max(1) }
}

fn servers(shares: &Shares<'_>) -> BTreeMap<Address, Server> {
    let has_cookie = cookie(shares.route).is_some();
    let weights = pools::weights(&shares.servers, MOST_WEIGHT);
    let servers = shares.servers.iter().zip(weights).filter(|(server, _)| names::is_host(&server.host));
    let servers = servers.map(|(server, weight)| {
        let address = Address { host: server.host.to_ascii_lowercase(), port: server.port };
        let route = if has_cookie { names::member(&address) } else { String::new() };
        (address, Server { weight, set: u32::from(server.is_remote), route })
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use skyfleet_gateway::config::{
        Affinity, BackendConfig, Ejection, Endpoint, EndpointConfig, Locality, Matching, Retries,
    };

    use super::*;

    fn endpoint(cluster: &str, host: &str, weight: u32) -> EndpointConfig {
        let (cluster, name, host) = (cluster.to_owned(), String::new(), host.to_owned());
        EndpointConfig {
            endpoint: Endpoint { cluster, name, host, port: 80, is_relayed: false },
            weight,
            egress_price: 0,
        }
    }

    fn route(name: &str) -> RouteConfig {
        let endpoints = vec![endpoint("a", "10.0.0.1", 2), endpoint("b", "fd00::1", 1)];
        let backend = BackendConfig { name: "llama".to_owned(), weight: 1, model: None, endpoints };
        RouteConfig { name: name.to_owned(), backends: vec![backend], ..RouteConfig::default() }
    }

    fn planned(route: RouteConfig) -> Plan<Wanted> {
        plan(&Settings::default(), &Config { routes: vec![route] })
    }

    #[test]
    fn shares_places_and_what_cookies_call_members() {
        let mut given = route("ml/llama");
        given.locality = Some(Locality { cluster: "a".to_owned(), spill_over_percent: 80 });
        let by = AffinityBy::Cookie { name: "replica".to_owned(), ttl: None };
        given.affinity = Some(Affinity { by, bound_percent: 125 });
        let pool = planned(given).wanted.pools.remove(0);
        let servers: Vec<_> = pool.servers.iter().map(|(at, one)| (at.to_string(), one.weight, one.set)).collect();
        assert_eq!(servers, [("10.0.0.1:80".to_owned(), 2, 0), ("[fd00::1]:80".to_owned(), 1, 1)]);
        let routes: Vec<_> = pool.servers.values().map(|one| one.route.as_str()).collect();
        assert!(routes[0].len() == 16 && routes[0] != routes[1], "{routes:?}");
        assert_eq!(pool.balancer.cookie.as_deref(), Some("replica"));
    }

    #[test]
    fn algorithms_retries_and_times() {
        for (algorithm, method) in [
            (Algorithm::RoundRobin, "byrequests"),
            (Algorithm::LeastConnection, "bybusyness"),
            (Algorithm::LeastResponseTime, "bybusyness"),
        ] {
            let retries = Retries { attempts: 200, ..Retries::default() };
            let ejection = Ejection { base: Duration::from_secs(7), ..Ejection::default() };
            let plan = planned(RouteConfig { algorithm, retries, ejection, ..route("ml/llama") });
            let pool = &plan.wanted.pools[0];
            assert_eq!((&*pool.balancer.method, pool.balancer.attempts), (method, 99));
            assert_eq!(pool.member, "retry=7 timeout=300000ms connectiontimeout=2000ms");
        }
    }

    #[test]
    fn a_route_that_is_refused_has_no_members_and_takes_its_requests() {
        let mut bad = route("ml/bad");
        bad.tls = Some(UpstreamTls::NotReady("no Secret".to_owned()));
        let hosts = vec!["a.example.com".to_owned()];
        bad.matching = Matching { hosts, ..Matching::default() };
        let plan = plan(&Settings::default(), &Config { routes: vec![bad, route("ml/good")] });
        let members: Vec<_> = plan.wanted.pools.iter().map(|pool| (&*pool.route, pool.servers.len())).collect();
        assert_eq!(members, [("ml/bad", 0), ("ml/good", 2)]);
        assert_eq!(plan.wanted.taken[0].pool, plan.wanted.pools[0].name);
        assert!(plan.lacks["ml/bad"].iter().any(|lack| lack.is_refused && lack.instead.contains("no Secret")));
    }
}
