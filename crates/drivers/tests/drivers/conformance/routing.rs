use hyper::StatusCode;
use skyfleet_drivers::Driver;
use skyfleet_gateway::config::{Config, Matching, RouteConfig, UpstreamTls};

use crate::balancer::Balancer;
use crate::client::get;
use crate::replica::Replica;
use crate::routes::{HOST, route};

/// The most special route takes a request, and nothing of the URI changes on the way.
pub async fn requests_find_their_route<B: Balancer>() {
    let balancer = B::start().await;
    let names = ["any", "v1", "chat", "host", "wild", "longer"];
    let replicas = names.map(Replica::start);
    let matchings: [(&[&str], &[&str]); 6] = [
        (&[], &["/any"]),
        (&[], &["/v1"]),
        (&[], &["/v1/chat/"]),
        (&["a.example.com"], &[]),
        (&["*.example.com"], &[]),
        (&["*.b.example.com"], &["/v1"]),
    ];
    let owned = |of: &[&str]| of.iter().map(|&text| text.to_owned()).collect();
    let routes = replicas.iter().zip(matchings).map(|(replica, (hosts, paths))| RouteConfig {
        matching: Matching { hosts: owned(hosts), path_prefixes: owned(paths), models: vec![] },
        ..route(replica.name, "", &[(replica, 1)])
    });
    balancer.settle(&Config { routes: routes.collect() }).await;
    for (host, path, expected) in [
        ("other.org", "/any", Some("any")),
        ("other.org", "/any/x", Some("any")),
        ("other.org", "/anything", None),
        ("other.org", "/", None),
        ("other.org", "/v1", Some("v1")),
        ("other.org", "/v1/models?x=1", Some("v1")),
        ("other.org", "/v10", None),
        ("other.org", "/v1/chat", Some("chat")),
        ("other.org", "/v1/chat/completions", Some("chat")),
        ("other.org", "/v1/chats", Some("v1")),
        ("a.example.com", "/v1/chat", Some("host")),
        ("A.Example.Com:8080", "/", Some("host")),
        ("x.example.com", "/v1", Some("wild")),
        ("x.b.example.com", "/v1/models", Some("longer")),
        ("x.b.example.com", "/x", Some("wild")),
        ("b.example.com", "/v1", Some("wild")),
        ("example.com", "/v1", Some("v1")),
        ("example.com.", "/x", None),
        // What must arrive as it was sent.
        ("other.org", "/v1/a%2Fb/%41%20b/c?d=%2F&e=f+g", Some("v1")),
        ("other.org", "/v1//double/../x;y=z?%zz", Some("v1")),
    ] {
        let answer = get(balancer.address(), host, path).await;
        assert_eq!(answer.server(), expected, "{host} {path}: {answer:?}");
        if expected.is_some() {
            assert_eq!(answer.header("x-uri"), Some(path), "{host}");
        } else {
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{host} {path}");
        }
    }
}

/// A route that cannot be carried out is said to be none, and the others are there.
pub async fn a_route_that_cannot_be_takes_no_other_down<B: Balancer>() {
    let balancer = B::start().await;
    let replica = Replica::start("a");
    let good = route("good", HOST, &[(&replica, 1)]);
    // It takes all that no other does.
    let mut rest = route("rest", HOST, &[(&replica, 1)]);
    rest.matching = Matching { path_prefixes: vec!["/".to_owned()], ..Matching::default() };
    let why = "the Secret ca is not there".to_owned();
    let bad = RouteConfig {
        tls: Some(UpstreamTls::NotReady(why.clone())),
        ..route("bad", "bad.example.com", &[(&replica, 1)])
    };
    for routes in [vec![good.clone(), bad.clone(), rest.clone()], vec![rest, bad, good]] {
        let config = Config { routes };
        let plan = balancer.driver().plan(&config);
        let lacks = &plan.lacks["ml/bad"];
        assert!(lacks.iter().any(|lack| lack.is_refused && lack.instead.contains(&why)), "{lacks:?}");
        balancer.settle(&config).await;
        assert_eq!(get(balancer.address(), HOST, "/").await.server(), Some("a"));
        assert_eq!(get(balancer.address(), "else.example.com", "/").await.server(), Some("a"));
        let refused = get(balancer.address(), "bad.example.com", "/").await;
        assert!(refused.status.is_server_error() && refused.server().is_none(), "{refused:?}");
    }
    assert_eq!(replica.count(), 4);
}
