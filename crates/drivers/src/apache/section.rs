//! What the section of a balancer says to each request that goes by it: pure.

use std::fmt::Write as _;

use skyfleet_gateway::config::{AffinityBy, RouteConfig};

use super::plan::cookie;

/// Directives for the requests of a route, but for those of TLS.
pub(super) fn of(route: &RouteConfig) -> Vec<String> {
    // The host that was asked for is also the name that certificates would have to have, so with TLS it cannot stay.
    let preserves = if route.tls.is_some() { "Off" } else { "On" };
    let mut section = vec![
        format!("ProxyPreserveHost {preserves}"),
        "RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}".to_owned(),
    ];
    section.extend(cookies(route));
    section
}

fn cookies(route: &RouteConfig) -> Vec<String> {
    let Some(name) = cookie(route) else { return Vec::new() };
    let mut cookie = format!("{name}=.%{{BALANCER_WORKER_ROUTE}}e; Path=/; HttpOnly; SameSite=Lax");
    if let Some(AffinityBy::Cookie { ttl: Some(ttl), .. }) = route.affinity.as_ref().map(|affinity| &affinity.by) {
        let _ = write!(cookie, "; Max-Age={}", ttl.as_secs());
    }
    let set = |cookie: &str, is_tls: &str| {
        format!(
            "Header always add Set-Cookie \"{cookie}\" \"expr=-n reqenv('BALANCER_ROUTE_CHANGED') && %{{HTTPS}} {is_tls} 'on'\""
        )
    };
    vec![set(&cookie, "!="), set(&format!("{cookie}; Secure"), "==")]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use skyfleet_gateway::config::Affinity;

    use super::*;

    #[test]
    fn a_cookie_is_set_where_a_request_has_none_that_counts() {
        let by = AffinityBy::Cookie { name: "replica".to_owned(), ttl: Some(Duration::from_mins(1)) };
        let mut route = RouteConfig { affinity: Some(Affinity { by, bound_percent: 125 }), ..RouteConfig::default() };
        let section = of(&route);
        assert_eq!(
            section[2],
            "Header always add Set-Cookie \"replica=.%{BALANCER_WORKER_ROUTE}e; Path=/; HttpOnly; SameSite=Lax; Max-Age=60\" \"expr=-n reqenv('BALANCER_ROUTE_CHANGED') && %{HTTPS} != 'on'\""
        );
        assert!(section[3].contains("; Max-Age=60; Secure\" \"expr=") && section[3].ends_with("== 'on'\""));
        let by = AffinityBy::Cookie { name: "a\"\nInclude /etc/passwd".to_owned(), ttl: None };
        route.affinity = Some(Affinity { by, bound_percent: 125 });
        assert_eq!(of(&route).len(), 2);
    }
}
