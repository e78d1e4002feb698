use skyfleet_gateway::config::{
    Affinity, BackendConfig, Config, Endpoint, EndpointConfig, HealthConfig, HedgingConfig, Locality, Matching,
    QueueConfig, RateLimits, Rates, ShadowConfig,
};

use super::*;
use crate::pools::pools;

fn backend(cluster: &str, host: &str) -> BackendConfig {
    let (name, cluster, host) = ("llama".to_owned(), cluster.to_owned(), host.to_owned());
    let endpoint = Endpoint { cluster, name: name.clone(), host, port: 80, is_relayed: false };
    let endpoints = vec![EndpointConfig { endpoint, weight: 1, egress_price: 0 }];
    BackendConfig { name, weight: 1, model: None, endpoints }
}

/// What a route is that says nothing but to whom, in turn.
fn plain() -> RouteConfig {
    let backends = vec![backend("local", "10.0.0.1"), backend("other", "10.0.0.2")];
    let locality = Some(Locality { cluster: "local".to_owned(), spill_over_percent: 80 });
    RouteConfig { algorithm: Algorithm::RoundRobin, backends, locality, ..RouteConfig::default() }
}

fn fields(route: RouteConfig, is_hashed: bool) -> Vec<&'static str> {
    let config = Config { routes: vec![route] };
    lacks(&pools(&config)[0], is_hashed).into_iter().map(|lack| lack.field).collect()
}

fn by(by: AffinityBy, bound_percent: u32) -> RouteConfig {
    RouteConfig { affinity: Some(Affinity { by, bound_percent }), ..plain() }
}

fn within(first_byte: u64, idle: u64) -> RouteConfig {
    let (first_byte, idle) = (Duration::from_secs(first_byte), Duration::from_secs(idle));
    RouteConfig { timeouts: Timeouts { first_byte, idle, ..Timeouts::default() }, ..plain() }
}

#[test]
fn what_is_usual_is_not_said() {
    assert_eq!(fields(plain(), false), Vec::<&str>::new());
    assert_eq!(fields(by(AffinityBy::ClientAddress, 125), true), ["spec.locality.policy"]);
    assert_eq!(fields(RouteConfig { locality: None, ..by(AffinityBy::ClientAddress, 125) }, true), [""; 0]);
    assert_eq!(fields(within(90, 90), false), [""; 0]);
}

#[test]
fn what_is_asked_for_and_not_done_is_said() {
    let second = Duration::from_secs(1);
    let rates = Some(Rates { requests_per_minute: Some(1), tokens_per_minute: Some(1) });
    let limits = RateLimits { client_header: Some("x_y".to_owned()), per_client: rates, total: rates };
    let health = HealthConfig { path: None, interval: second, timeout: second, rise: 1, fall: 1 };
    let shadow = ShadowConfig { backend: backend("local", "10.0.0.3"), percent: 1 };
    let models = Matching { models: vec!["m".to_owned()], ..Matching::default() };
    let spilling = Some(Locality { cluster: "local".to_owned(), spill_over_percent: 50 });
    let all = Timeouts { request: Some(second), ..Timeouts::default() };
    let ejection = |most_percent| Ejection { most_percent, ..Ejection::default() };
    for (route, expected) in [
        (RouteConfig { matching: models, ..plain() }, vec!["spec.models"]),
        (RouteConfig { shadow: Some(shadow), ..plain() }, vec!["spec.shadow"]),
        (RouteConfig { backends: vec![backend("local", "a b")], ..plain() }, vec!["spec.backends"]),
        (RouteConfig { algorithm: Algorithm::LeastResponseTime, ..plain() }, vec!["spec.algorithm"]),
        (RouteConfig { algorithm: Algorithm::LeastConnection, ..plain() }, vec![]),
        (
            RouteConfig { locality: spilling, most_in_flight: Some(9), ..plain() },
            vec!["spec.locality.spillOverPercent"],
        ),
        (RouteConfig { slow_start: second, ..plain() }, vec!["spec.slowStartSeconds"]),
        (by(AffinityBy::PromptPrefix(64), 125), vec!["spec.affinity.promptPrefix"]),
        (by(AffinityBy::Header("x_y".to_owned()), 125), vec!["spec.affinity.header"]),
        (by(AffinityBy::Cookie { name: "x$".to_owned(), ttl: None }, 125), vec!["spec.affinity.cookie"]),
        (by(AffinityBy::ClientAddress, 110), vec!["spec.affinity.boundPercent"]),
        (RouteConfig { timeouts: all, ..plain() }, vec!["spec.timeouts.requestSeconds"]),
        (within(5, 60), vec!["spec.timeouts.firstByteSeconds"]),
        (within(300, 30), vec!["spec.timeouts.idleSeconds"]),
        (
            RouteConfig { retries: Retries { budget_percent: 5, ..Retries::default() }, ..plain() },
            vec!["spec.retries.budgetPercent"],
        ),
        (
            RouteConfig { hedging: Some(HedgingConfig { after: second, budget_percent: 5 }), ..plain() },
            vec!["spec.hedging"],
        ),
        (RouteConfig { ejection: ejection(20), ..plain() }, vec!["spec.outlierEjection.maxPercent"]),
        (RouteConfig { ejection: ejection(0), ..plain() }, vec![]),
        (RouteConfig { health: Some(health), ..plain() }, vec!["spec.healthCheck"]),
        (RouteConfig { queue: Some(QueueConfig::default()), ..plain() }, vec!["spec.limits.queue"]),
        (
            RouteConfig { limits, ..plain() },
            vec![
                "spec.limits.perClient.header",
                "spec.limits.perClient.tokensPerMinute",
                "spec.limits.total.tokensPerMinute",
            ],
        ),
    ] {
        assert_eq!(fields(route, false), expected);
    }
}

#[test]
fn a_model_of_another_name_is_not_asked_for() {
    let mut route = plain();
    route.backends[0].model = Some("other".to_owned());
    let is_refused = |route: &RouteConfig| {
        let config = Config { routes: vec![route.clone()] };
        lacks(&pools(&config)[0], false).iter().any(|lack| lack.is_refused)
    };
    assert!(is_refused(&route));
    route.matching.models = vec!["other".to_owned()];
    assert!(!is_refused(&route), "all requests have that name");
    route.matching.models = vec!["m".to_owned()];
    assert!(is_refused(&route));
    route.backends[0].weight = 0;
    assert!(!is_refused(&route), "it gets none");
}
