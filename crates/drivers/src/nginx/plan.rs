//! From routes to what NGINX is to have: pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use skyfleet_gateway::config::{Algorithm, Config, RouteConfig, UpstreamTls};

use super::affinity::{Sticky, sticky};
use super::lacks::is_server;
use super::location::seconds;
use super::settings::Settings;
use super::wanted::{Files, Route, Server, Upstream, Wanted};
use super::{lacks, limits, location, matching, text, tls};
use crate::pools::{self, Pool, pools, weights};
use crate::rules::rules;
use crate::{Lack, Plan};

/// NGINX computes with any weight, but with hashes takes 160 points of memory for each.
const LARGEST_WEIGHT: u32 = 65_535;
const LARGEST_HASHED: u32 = 100;

/// What routes have in common in the `http` block.
const COMMON: &str = r#"map $skyfleet_uri $skyfleet_next {
    volatile;
    default "";
    "" $skyfleet_taken;
}
map $request $skyfleet_target {
    default $http_host;
    "~^[^ ]+ [A-Za-z]+://(?<skyfleet_asked>[^/?# ]+)" $skyfleet_asked;
}
map $skyfleet_target $skyfleet_authority {
    default $skyfleet_target;
    "" $host;
}
map $http_connection $skyfleet_upgrade {
    default "";
    "~*(?:^|,) *upgrade *(?:,|$)" $http_upgrade;
}
map $skyfleet_upgrade $skyfleet_connection {
    default upgrade;
    "" "";
}
map $scheme $skyfleet_secure {
    default "";
    https "; Secure";
}
"#;

/// What NGINX is to have. Requests of a route that cannot be carried out are answered with 503: another route's they are not.
pub(super) fn plan(config: &Config, settings: &Settings) -> Plan<Wanted> {
    let ids: Vec<_> = config.routes.iter().map(|route| text::identifier(&route.name)).collect();
    let taken = matching::map(&rules(config), |route| location::uri(&ids[route]));
    let (mut routes, mut all) = (Vec::new(), BTreeMap::new());
    for (pool, id) in pools(config).iter().zip(ids) {
        let (route, lacks) = planned(pool, id, settings);
        routes.push(route);
        if !lacks.is_empty() {
            all.insert(pool.route.name.clone(), lacks);
        }
    }
    Plan { wanted: Wanted { http: taken + COMMON, server: location::common(), routes }, lacks: all }
}

fn planned(pool: &Pool<'_>, id: String, settings: &Settings) -> (Route, Vec<Lack>) {
    let route = pool.route;
    let sticky = sticky(route, &id);
    let mut lacks = lacks::lacks(pool, sticky.is_some());
    let servers: Vec<_> = pool.servers.iter().filter(|server| is_server(server)).cloned().collect();
    let name = tls::name(route, &servers).unwrap_or_else(|lack| {
        lacks.push(lack);
        None
    });
    if servers.is_empty() || lacks.iter().any(|lack| lack.is_refused) {
        let server = location::nobody(&id);
        return (Route { id, upstream: None, http: String::new(), server, files: Files::new() }, lacks);
    }
    let limited = limits::limited(&route.limits, &id);
    let (mut http, mut extra, mut files) = (limited.http, limited.location, Files::new());
    if let (Some(UpstreamTls::Spoken(spoken)), Some(name)) = (&route.tls, name) {
        let spoken = tls::spoken(spoken, name, location::module(route), &id, &settings.authorities);
        extra += &spoken.location;
        files = spoken.files;
    }
    if let Some(sticky) = &sticky {
        extra += &sticky.location;
        http += &sticky.http;
    }
    let server = location::location(route, &id, &extra);
    let upstream = Some(upstream(route, id.clone(), &servers, sticky));
    (Route { id, upstream, http, server, files }, lacks)
}

fn upstream(route: &RouteConfig, id: String, servers: &[pools::Server], sticky: Option<Sticky>) -> Upstream {
    let is_hashed = sticky.is_some();
    let weights = weights(servers, if is_hashed { LARGEST_HASHED } else { LARGEST_WEIGHT });
    // With hashes there are no backups, and of nothing but backups no upstream.
    let has_backups = !is_hashed && servers.iter().any(|server| !server.is_remote);
    let servers = servers.iter().zip(weights).map(|(server, weight)| {
        let mut parameters = parameters(route, server);
        if has_backups && server.is_remote {
            parameters += " backup";
        }
        Server { host: server.host.clone(), port: server.port, weight, parameters }
    });
    let method = sticky.map_or_else(|| method(route.algorithm).to_owned(), |sticky| sticky.method);
    Upstream { id, route: text::comment(&route.name), method, servers: servers.collect() }
}

fn method(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RoundRobin => "",
        Algorithm::LeastConnection | Algorithm::LeastResponseTime => "least_conn",
    }
}

fn parameters(route: &RouteConfig, server: &pools::Server) -> String {
    let ejection = &route.ejection;
    let mut parameters = if ejection.most_percent == 0 {
        " max_fails=0".to_owned()
    } else {
        format!(" max_fails={} fail_timeout={}", ejection.consecutive_errors, seconds(ejection.base))
    };
    if let Some(most) = route.most_in_flight {
        let _ = write!(parameters, " max_conns={}", u64::from(most) * replicas(route, server));
    }
    parameters
}

/// Replicas behind a server, by whatever backend it is reached.
fn replicas(route: &RouteConfig, server: &pools::Server) -> u64 {
    let all = route.backends.iter().flat_map(|backend| &backend.endpoints);
    let of_server = all.filter(|one| one.endpoint.host == server.host && one.endpoint.port == server.port);
    of_server.map(|one| u64::from(one.weight)).max().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use skyfleet_gateway::config::{Affinity, AffinityBy, BackendConfig, Ejection, Endpoint, EndpointConfig, Locality};

    use super::*;

    fn route() -> RouteConfig {
        let endpoint = |cluster: &str, host: &str, weight| {
            let (cluster, name, host) = (cluster.to_owned(), host.to_owned(), host.to_owned());
            EndpointConfig {
                endpoint: Endpoint { cluster, name, host, port: 80, is_relayed: false },
                weight,
                egress_price: 0,
            }
        };
        let endpoints = vec![endpoint("a", "10.0.0.1", 4), endpoint("b", "10.0.0.2", 2)];
        let backends = vec![BackendConfig { name: "llama".to_owned(), weight: 1, model: None, endpoints }];
        RouteConfig { name: "ml/llama".to_owned(), backends, ..RouteConfig::default() }
    }

    fn wanted(route: RouteConfig) -> Wanted {
        plan(&Config { routes: vec![route] }, &Settings::default()).wanted
    }

    /// How requests are shared out, and what is said of each server.
    fn servers(route: RouteConfig) -> (String, Vec<(u32, String)>) {
        let upstream = wanted(route).routes.remove(0).upstream.unwrap();
        (upstream.method, upstream.servers.into_iter().map(|one| (one.weight, one.parameters)).collect())
    }

    #[test]
    fn servers_are_as_routes_say() {
        let usual = " max_fails=5 fail_timeout=30s".to_owned();
        let (method, plain) = servers(route());
        assert_eq!((&*method, plain), ("least_conn", vec![(2, usual.clone()), (1, usual.clone())]));
        let never = Ejection { most_percent: 0, ..Ejection::default() };
        let config = RouteConfig { algorithm: Algorithm::RoundRobin, ejection: never, ..route() };
        assert_eq!(servers(config).0, "");
        let full = RouteConfig { ejection: never, most_in_flight: Some(8), ..route() };
        let (first, second) = (" max_fails=0 max_conns=32".to_owned(), " max_fails=0 max_conns=16".to_owned());
        assert_eq!(servers(full).1, [(2, first), (1, second)], "of all replicas behind a server");
    }

    #[test]
    fn servers_elsewhere_come_after_local_ones() {
        let of = |cluster: &str, affinity| {
            let locality = Some(Locality { cluster: cluster.to_owned(), spill_over_percent: 80 });
            let servers = servers(RouteConfig { locality, affinity, ..route() }).1;
            servers.into_iter().map(|(_, parameters)| parameters.ends_with(" backup")).collect::<Vec<_>>()
        };
        assert_eq!(of("a", None), [false, true]);
        assert_eq!(of("b", None), [true, false]);
        assert_eq!(of("c", None), [false, false], "there would be nobody else");
        let affinity = Some(Affinity { by: AffinityBy::ClientAddress, bound_percent: 125 });
        assert_eq!(of("a", affinity), [false, false], "hashes have no backups");
    }

    #[test]
    fn a_route_that_cannot_be_has_no_server_and_no_other_its_requests() {
        let tls = Some(UpstreamTls::NotReady("no Secret".to_owned()));
        let config = Config { routes: vec![RouteConfig { tls, ..route() }] };
        let plan = plan(&config, &Settings::default());
        assert!(plan.lacks["ml/llama"].contains(&Lack::refused("spec.tls", "no Secret")));
        let is_nobodys = |route: &Route| route.upstream.is_none() && route.server.contains("    return 503;\n");
        assert!(is_nobodys(&plan.wanted.routes[0]));
        assert!(plan.wanted.http.contains("\"~^[^ ]* [^ ]* \" /.skyfleet/skyfleet_ml_llama_"), "{}", plan.wanted.http);
        assert!(is_nobodys(&wanted(RouteConfig { backends: vec![], ..route() }).routes[0]));
    }
}
