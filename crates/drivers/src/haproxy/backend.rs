//! The lines of a route's backend, apart from its servers: pure.

use std::time::Duration;

use skyfleet_gateway::config::{AffinityBy, Algorithm, HealthConfig, RouteConfig};

use super::names::quote;

/// Who has not asked again for so long is not waited for any more once a connection has become another protocol.
const TUNNEL: Duration = Duration::from_hours(1);

/// For who asks servers without a check of the route: for so long who cannot be reached gets nothing, so that it is as with the gateway.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// The lines of a backend.
pub(super) fn lines(route: &RouteConfig, asks_agent: bool) -> Vec<String> {
    let mut lines = balance(route, asks_agent);
    lines.extend(timeouts(route));
    lines.extend(super::limits::lines(&route.limits, route.request_bytes));
    lines.extend(super::limits::queue(route));
    if let Some(affinity) = &route.affinity {
        lines.extend(session(&affinity.by));
    }
    lines.extend(retries(route));
    if let Some(health) = &route.health {
        lines.extend(checks(health));
    }
    lines
}

fn balance(route: &RouteConfig, asks_agent: bool) -> Vec<String> {
    let by = match route.affinity.as_ref().map(|affinity| &affinity.by) {
        Some(AffinityBy::Header(name)) => Some(format!("hash req.fhdr({name})")),
        Some(AffinityBy::Cookie { .. }) => Some("hash var(txn.skyfleet_session)".to_owned()),
        Some(AffinityBy::ClientAddress) => Some("source".to_owned()),
        Some(AffinityBy::PromptPrefix(_)) | None => None,
    };
    if let (Some(by), Some(affinity)) = (by, &route.affinity) {
        let bound = format!("hash-balance-factor {}", affinity.bound_percent.max(101));
        return vec![format!("balance {by}"), "hash-type consistent sdbm avalanche".to_owned(), bound];
    }
    let algorithm = match route.algorithm {
        Algorithm::RoundRobin => "roundrobin",
        // By weights that say how soon each answers two are drawn, and who has less to do gets it. It was the best of what was measured: the
        // fewest connections alone do not look at weights where nobody has any, and turns do not look at connections.
        Algorithm::LeastResponseTime if asks_agent => "random(2)",
        Algorithm::LeastConnection | Algorithm::LeastResponseTime => "leastconn",
    };
    vec![format!("balance {algorithm}")]
}

fn timeouts(route: &RouteConfig) -> [String; 3] {
    let timeouts = &route.timeouts;
    [
        format!("timeout connect {}", milliseconds(timeouts.connect)),
        format!("timeout server {}", milliseconds(timeouts.first_byte.max(timeouts.idle))),
        format!("timeout tunnel {}", milliseconds(TUNNEL)),
    ]
}

/// Where one asks again, it is another server.
fn retries(route: &RouteConfig) -> Vec<String> {
    let attempts = route.retries.attempts;
    if attempts == 0 {
        return vec!["retries 0".to_owned(), "retry-on none".to_owned()];
    }
    let mut lines = vec![
        "option redispatch 1".to_owned(),
        format!("retries {attempts}"),
        "retry-on conn-failure empty-response junk-response response-timeout 0rtt-rejected 502 503 504".to_owned(),
    ];
    // Requests for models are asked twice as the gateway does; of others only those that may be.
    if route.matching.models.is_empty() {
        lines.push("http-request disable-l7-retry unless { method GET HEAD OPTIONS PUT DELETE TRACE }".to_owned());
    }
    lines
}

/// A cookie holds a key that says nothing of servers, so that it stays good when these change.
fn session(by: &AffinityBy) -> Vec<String> {
    let AffinityBy::Cookie { name, ttl } = by else { return Vec::new() };
    let age = ttl.map(|ttl| format!("; Max-Age={}", ttl.as_secs())).unwrap_or_default();
    let set = |more: &str, when: &str| {
        let value = format!("{name}=%[var(txn.skyfleet_new_session)]; Path=/{age}; HttpOnly; SameSite=Lax{more}");
        let value = quote(&value);
        format!(
            "http-response add-header Set-Cookie {value} if {{ var(txn.skyfleet_new_session) -m found }} \
             !{{ res.cook({name}) -m found }} {when}"
        )
    };
    vec![
        format!("http-request set-var(txn.skyfleet_session) req.cook({name})"),
        "http-request set-var(txn.skyfleet_new_session) uuid() unless { var(txn.skyfleet_session) -m len gt 0 }"
            .to_owned(),
        "http-request set-var(txn.skyfleet_session) var(txn.skyfleet_new_session) \
         if { var(txn.skyfleet_new_session) -m found }"
            .to_owned(),
        set("; Secure", "{ ssl_fc }"),
        set("", "!{ ssl_fc }"),
    ]
}

fn checks(health: &HealthConfig) -> Vec<String> {
    let mut lines = vec![format!("timeout check {}", milliseconds(health.timeout))];
    if let Some(path) = &health.path {
        let path = quote(path);
        lines.push("option httpchk".to_owned());
        // A server's name is what stands in a Host header.
        lines.push(format!(
            "http-check send meth GET uri {path} ver HTTP/1.1 hdr Host %[srv_name] hdr User-Agent skyfleet"
        ));
        lines.push("http-check expect status 200-399".to_owned());
    }
    lines
}

/// What each server's line has about whether it is well. Without a check of the route, those that cannot be reached are left out and asked,
/// by a connection, whether they are there again.
pub(super) fn check(route: &RouteConfig) -> Option<String> {
    let ejection = route.ejection;
    let observed = format!(" observe layer4 error-limit {} on-error mark-down", ejection.consecutive_errors.max(1));
    match &route.health {
        Some(health) => {
            let observed = if ejection.most_percent == 0 { String::new() } else { observed };
            let (interval, rise, fall) = (milliseconds(health.interval), health.rise.max(1), health.fall.max(1));
            Some(format!("check inter {interval} rise {rise} fall {fall}{observed}"))
        }
        None if ejection.most_percent == 0 => None,
        None => {
            let interval = milliseconds(ejection.base.max(LEAST_INTERVAL));
            Some(format!("check inter {interval} rise 1 fall 2{observed}"))
        }
    }
}

/// As HAProxy has times.
pub(super) fn milliseconds(time: Duration) -> String {
    format!("{}ms", time.as_millis().clamp(1, 2_000_000_000))
}
