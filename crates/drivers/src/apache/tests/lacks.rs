//! What conditions say, field by field.

use std::time::Duration;

use skyfleet_gateway::config::{
    Affinity, AffinityBy, Algorithm, BackendConfig, Config, Ejection, Endpoint, EndpointConfig, HealthConfig,
    HedgingConfig, Locality, Protocol, QueueConfig, RateLimits, Rates, Retries, RouteConfig, ShadowConfig, Timeouts,
    TlsSettings, UpstreamTls,
};

use crate::Driver as _;
use crate::apache::{Apache, Modules, Settings};

fn backend(relayed: bool) -> BackendConfig {
    let [cluster, name, host] = ["a", "x", "10.0.0.1"].map(str::to_owned);
    let endpoint = Endpoint { cluster, name, host, port: 80, is_relayed: relayed };
    let endpoints = vec![EndpointConfig { endpoint, weight: 1, egress_price: 7 }];
    BackendConfig { name: "llama".to_owned(), weight: 1, model: None, endpoints }
}

fn plain() -> RouteConfig {
    RouteConfig {
        name: "ml/llama".to_owned(),
        backends: vec![backend(false)],
        algorithm: Algorithm::RoundRobin,
        request_bytes: 16 << 20,
        ..RouteConfig::default()
    }
}

/// The fields, and whether each has the route refused.
fn lacks(modules: Modules, change: impl FnOnce(&mut RouteConfig)) -> Vec<(&'static str, bool)> {
    let mut route = plain();
    change(&mut route);
    let mut plan = Apache::new(Settings { modules, ..Settings::default() }).plan(&Config { routes: vec![route] });
    let lacks = plan.lacks.remove("ml/llama").unwrap_or_default();
    lacks.into_iter().map(|lack| (lack.field, lack.is_refused)).collect()
}

const ALL: Modules = Modules { hcheck: true, http2: true, ssl: true };
const SECOND: Duration = Duration::from_secs(1);

type Change = fn(&mut RouteConfig);

#[test]
fn a_route_that_asks_for_nothing_lacks_nothing() {
    assert_eq!(lacks(Modules::default(), |_| ()), []);
    assert_eq!(lacks(ALL, |route| route.algorithm = Algorithm::LeastConnection), []);
    let cookie = AffinityBy::Cookie { name: "replica".to_owned(), ttl: Some(SECOND) };
    assert_eq!(lacks(ALL, |route| route.affinity = Some(Affinity { by: cookie, bound_percent: 125 })), []);
    let local = Locality { cluster: "a".to_owned(), spill_over_percent: 80 };
    assert_eq!(lacks(ALL, |route| route.locality = Some(local)), []);
    assert_eq!(lacks(ALL, |route| route.protocol = Protocol::Http2), []);
    assert_eq!(lacks(ALL, |route| route.retries.attempts = 7), []);
}

#[test]
fn what_apache_cannot_do_is_said() {
    let changes: [(Change, &'static str); 19] = [
        (|route| route.matching.models = vec!["llama".to_owned()], "spec.models"),
        (|route| route.backends = vec![backend(true)], "spec.backends"),
        (|route| route.shadow = Some(ShadowConfig { backend: backend(false), percent: 5 }), "spec.shadow"),
        (|route| route.algorithm = Algorithm::LeastResponseTime, "spec.algorithm"),
        (|route| route.slow_start = SECOND, "spec.slowStartSeconds"),
        (|route| route.affinity = Some(by(AffinityBy::Header("x".to_owned()))), "spec.affinity.header"),
        (|route| route.affinity = Some(by(AffinityBy::ClientAddress)), "spec.affinity.clientAddress"),
        (|route| route.affinity = Some(by(AffinityBy::PromptPrefix(9))), "spec.affinity.promptPrefix"),
        (|route| route.timeouts = Timeouts { idle: SECOND, ..Timeouts::default() }, "spec.timeouts"),
        (|route| route.timeouts.connect = SECOND, "spec.timeouts.connectMilliseconds"),
        (|route| route.timeouts.request = Some(SECOND), "spec.timeouts.requestSeconds"),
        (|route| route.retries = Retries { budget_percent: 5, ..Retries::default() }, "spec.retries.budgetPercent"),
        (|route| route.hedging = Some(HedgingConfig { after: SECOND, budget_percent: 5 }), "spec.hedging"),
        (|route| route.ejection = ejection(1, 50), "spec.outlierEjection.consecutiveErrors"),
        (|route| route.ejection = ejection(5, 0), "spec.outlierEjection.maxPercent"),
        (|route| route.most_in_flight = Some(9), "spec.limits.maxInFlightPerReplica"),
        (|route| route.queue = Some(QueueConfig { most: 9, timeout: SECOND }), "spec.limits.queue"),
        (|route| route.limits = limits(), "spec.limits.total"),
        (|route| route.request_bytes = 1024, "spec.limits.requestBytes"),
    ];
    for (change, field) in changes {
        assert_eq!(lacks(ALL, change), [(field, false)]);
    }
}

#[test]
fn weights_count_for_less_by_least_connection() {
    let unequal = |route: &mut RouteConfig| {
        route.algorithm = Algorithm::LeastConnection;
        let mut heavy = route.backends[0].endpoints[0].clone();
        (heavy.endpoint.port, heavy.weight) = (81, 3);
        route.backends[0].endpoints.push(heavy);
    };
    assert_eq!(lacks(ALL, unequal), [("spec.algorithm", false)]);
}

#[test]
fn what_nothing_near_can_be_done_for_is_refused() {
    let changes: [(Change, &'static str); 3] = [
        (|route| route.backends[0].model = Some("other".to_owned()), "spec.backends[].modelName"),
        (|route| route.tls = Some(UpstreamTls::NotReady("no Secret".to_owned())), "spec.tls"),
        (|route| route.tls = Some(named()), "spec.tls.serverName"),
    ];
    for (change, field) in changes {
        assert_eq!(lacks(ALL, change), [(field, true)]);
    }
    assert_eq!(lacks(Modules::default(), |route| route.protocol = Protocol::Http2), [("spec.protocol", true)]);
    let spoken = |route: &mut RouteConfig| route.tls = Some(UpstreamTls::Spoken(TlsSettings::default()));
    assert_eq!(lacks(Modules::default(), spoken), [("spec.tls", true)]);
}

#[test]
fn a_check_that_is_less_than_asked_for_is_said() {
    for (modules, path, field) in [
        (Modules::default(), Some("/health"), "spec.healthCheck"),
        (ALL, Some("/a b"), "spec.healthCheck"),
        (ALL, None, "spec.healthCheck"),
        (ALL, Some("/health"), "spec.healthCheck.timeoutSeconds"),
    ] {
        let path = path.map(str::to_owned);
        let health = HealthConfig { path, interval: SECOND, timeout: SECOND, rise: 1, fall: 1 };
        assert_eq!(lacks(modules, |route| route.health = Some(health)), [(field, false)]);
    }
}

fn by(by: AffinityBy) -> Affinity {
    Affinity { by, bound_percent: 125 }
}

fn ejection(consecutive_errors: u32, most_percent: u32) -> Ejection {
    Ejection { consecutive_errors, most_percent, ..Ejection::default() }
}

fn limits() -> RateLimits {
    let rates = Rates { requests_per_minute: Some(9), tokens_per_minute: None };
    RateLimits { total: Some(rates), ..RateLimits::default() }
}

fn named() -> UpstreamTls {
    UpstreamTls::Spoken(TlsSettings { server_name: Some("models.example.com".to_owned()), ..TlsSettings::default() })
}
