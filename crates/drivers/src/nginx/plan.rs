//! From routes to what NGINX is to have: pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use skyfleet_gateway::config::{Algorithm, Config, RouteConfig, UpstreamTls};

use super::affinity::{Sticky, sticky};
use super::location::seconds;
use super::settings::Settings;
use super::wanted::{Server, Upstream, Wanted};
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
map $http_host $skyfleet_authority {
    default $http_host;
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
    let mut wanted =
        Wanted { upstreams: Vec::new(), http: taken + COMMON, server: location::common(), files: BTreeMap::new() };
    let mut all = BTreeMap::new();
    for (pool, id) in pools(config).iter().zip(ids) {
        let lacks = add(&mut wanted, pool, id, settings);
        if !lacks.is_empty() {
            all.insert(pool.route.name.clone(), lacks);
        }
    }
    Plan { wanted, lacks: all }
}

fn add(wanted: &mut Wanted, pool: &Pool<'_>, id: String, settings: &Settings) -> Vec<Lack> {
    let route = pool.route;
    let sticky = sticky(route, &id);
    let mut lacks = lacks::lacks(pool, sticky.is_some());
    let servers: Vec<_> = pool.servers.iter().filter(|server| text::is_host(&server.host)).cloned().collect();
    let name = tls::name(route, &servers).unwrap_or_else(|lack| {
        lacks.push(lack);
        None
    });
    let is_served = !servers.is_empty() && !lacks.iter().any(|lack| lack.is_refused);
    if !is_served {
        wanted.server += &location::location(route, &id, false, "");
        return lacks;
    }
    let limited = limits::limited(&route.limits, &id);
    let mut extra = limited.location;
    if let (Some(UpstreamTls::Spoken(spoken)), Some(name)) = (&route.tls, name) {
        let spoken = tls::spoken(spoken, name, location::module(route), &id, &settings.authorities);
        extra += &spoken.location;
        wanted.files.extend(spoken.files);
    }
    wanted.http += &limited.http;
    if let Some(sticky) = &sticky {
        extra += &sticky.location;
        wanted.http += &sticky.http;
    }
    wanted.server += &location::location(route, &id, true, &extra);
    wanted.upstreams.push(upstream(route, id, &servers, sticky));
    lacks
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
