//! Values of users that would like to be directives.

use std::time::Duration;

use skyfleet_drivers::Driver as _;
use skyfleet_gateway::config::{
    Affinity, AffinityBy, Config, Matching, RateLimits, Rates, RouteConfig, TlsSettings, UpstreamTls,
};

use super::Running;
use super::raw::{ask, status, to_server};
use crate::balancer::Balancer as _;
use crate::replica::Replica;
use crate::routes::{HOST, route};

const VALUES: [&str; 6] = [
    "x\"; } server { listen 127.0.0.1:1; } #",
    "x'; return 200 injected; #",
    "x\n}\nreturn 200 injected;",
    "${request_uri}$1\\",
    "~^.*$ /; default /",
    "../../x\0\u{fc} {",
];

/// Routes that have a value in each place where a user could have one.
fn routes(value: &str, number: usize, replica: &Replica) -> Vec<RouteConfig> {
    let owned = || vec![value.to_owned()];
    let host = |place: &str| format!("{place}{number}.example.com");
    let usual = |place: &str| route(&format!("{place}-{number}"), &host(place), &[(replica, 1)]);
    let affinity = |by| Some(Affinity { by, bound_percent: 125 });
    let settings = TlsSettings { server_name: Some(value.to_owned()), ..TlsSettings::default() };
    let authorities = TlsSettings { authorities: Some(value.as_bytes().to_vec()), ..TlsSettings::default() };
    let limits = RateLimits {
        client_header: Some(value.to_owned()),
        per_client: Some(Rates { requests_per_minute: Some(u64::MAX), tokens_per_minute: None }),
        total: None,
    };
    let cookie = AffinityBy::Cookie { name: value.to_owned(), ttl: Some(Duration::MAX) };
    let ms = Matching { hosts: vec![host("model")], path_prefixes: vec![], models: owned() };
    let paths = Matching { hosts: vec![host("path")], path_prefixes: vec![format!("/{value}")], models: vec![] };
    vec![
        RouteConfig { name: format!("ml/{value}"), ..usual("name") },
        RouteConfig { matching: Matching { hosts: owned(), ..Matching::default() }, ..usual("host") },
        RouteConfig { matching: ms, ..usual("model") },
        RouteConfig { matching: paths, ..usual("path") },
        RouteConfig { affinity: affinity(AffinityBy::Header(value.to_owned())), ..usual("header") },
        RouteConfig { affinity: affinity(cookie), ..usual("cookie") },
        RouteConfig { limits, request_bytes: u64::MAX, ..usual("limits") },
        RouteConfig { tls: Some(UpstreamTls::Spoken(settings)), ..usual("tls") },
        RouteConfig { tls: Some(UpstreamTls::Spoken(authorities)), ..usual("authorities") },
        RouteConfig { name: format!("ml/endpoint-{number}"), ..to_server(value, 80) },
    ]
}

/// What is as long as a ModelRoute may have it is taken: NGINX refuses words that are too long, and with them all routes.
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_values_are_taken() {
    let replica = Replica::start("a");
    let matching = Matching {
        hosts: vec![["a.", &"b.".repeat(125), "c"].concat(), format!("*.{}", "b.".repeat(125) + "c")],
        path_prefixes: vec![format!("/{}", "~".repeat(254)), format!("/{}", "𝄞".repeat(254))],
        models: (10..42).map(|number| format!("{}{number}", "\"".repeat(251))).collect(),
    };
    let models = (10..42).map(|number| format!("{}{number}", "𝄞".repeat(251))).collect();
    let name = format!("{}/{}", "n".repeat(63), "r".repeat(253));
    let cookie = AffinityBy::Cookie { name: ".".repeat(128), ttl: None };
    let limits = RateLimits {
        client_header: Some("x".repeat(128)),
        per_client: Some(Rates { requests_per_minute: Some(9), tokens_per_minute: None }),
        total: None,
    };
    let long = RouteConfig {
        name,
        limits,
        matching: Matching { models, ..matching.clone() },
        affinity: Some(Affinity { by: cookie, bound_percent: 125 }),
        ..route("long", HOST, &[(&replica, 1)])
    };
    let config = Config { routes: vec![RouteConfig { matching, ..route("good", HOST, &[(&replica, 1)]) }, long] };
    let running = Running::start().await;
    running.settle(&config).await;
    let model = format!("X-Gateway-Model-Name: {}41\r\n", "𝄞".repeat(251));
    let uri = format!("GET http://a.{}c/{}?x", "b.".repeat(125), "~".repeat(254));
    assert_eq!(status(&ask(running.address(), &uri, &model, "").await), "200");
    assert_eq!(status(&ask(running.address(), &uri, "", "").await), "404");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_becomes_a_directive() {
    let replica = Replica::start("a");
    let mut config = Config { routes: vec![route("good", HOST, &[(&replica, 1)])] };
    for (number, value) in VALUES.iter().enumerate() {
        config.routes.extend(routes(value, number, &replica));
    }
    let running = Running::start().await;
    running.settle(&config).await;
    let lacks = running.driver().plan(&config).lacks;
    for number in 0..VALUES.len() {
        for (place, field) in [
            ("header", "spec.affinity.header"),
            ("cookie", "spec.affinity.cookie"),
            ("limits", "spec.limits.perClient.header"),
            ("authorities", "spec.tls"),
        ] {
            let lacks = &lacks[&format!("ml/{place}-{number}")];
            assert!(lacks.iter().any(|lack| lack.field == field), "{place}: {lacks:?}");
        }
    }
    let answer = ask(running.address(), "GET /", "", "").await;
    assert!(answer.contains("x-server: a\r\n"), "{answer}");
    for (host, path, expected) in [
        ("other.org", "/", "404"),
        ("name0.example.com", "/", "200"),
        ("path0.example.com", "/x", "404"),
        ("path3.example.com", "/${request_uri}$1\\/x", "200"),
        ("model4.example.com", "/", "404"),
        ("cookie0.example.com", "/", "200"),
        ("tls0.example.com", "/", "503"),
        ("authorities0.example.com", "/", "503"),
    ] {
        let answer = ask(running.address(), &format!("GET http://{host}{path}"), "", "").await;
        assert_eq!(status(&answer), expected, "{host}{path}: {answer}");
        assert!(!answer.contains("injected"), "{answer}");
    }
}
