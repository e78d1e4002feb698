//! Patterns find the routes that the gateway finds.

use std::sync::Arc;

use skyfleet_gateway::config::{Config, Matching, RouteConfig};
use skyfleet_gateway::table::Table;

use super::running::Running;
use crate::balancer::Balancer;
use crate::client::{Asked, Client};
use crate::replica::Replica;
use crate::routes::route;

const NAMES: [&str; 12] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"];

/// Of each the first is none.
const HOSTS: [&[&str]; 4] = [&[], &["a.example.com", "b.example.com"], &["*.example.com"], &["*.b.example.com"]];
const PATHS: [&[&str]; 4] = [&[], &["/v1", "/v10"], &["/v1/chat/"], &["/v1/chat/x", "/"]];
const MODELS: [&[&str]; 3] = [&[], &["llama"], &["bert", "llama"]];

fn owned(of: &[&str]) -> Vec<String> {
    of.iter().map(|&text| text.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_where_the_gateway_would_send_them() {
    let balancer = Running::start().await;
    let replicas = NAMES.map(Replica::start);
    // Some of all that can be, in an order in which special ones come before and after the others.
    let routes = replicas.iter().enumerate().map(|(number, replica)| {
        let (hosts, path_prefixes, models) = (HOSTS[number * 7 % 4], PATHS[number * 5 / 3 % 4], MODELS[number % 3]);
        let matching = Matching { hosts: owned(hosts), path_prefixes: owned(path_prefixes), models: owned(models) };
        RouteConfig { matching, ..route(replica.name, "", &[(replica, 1)]) }
    });
    let config = Config { routes: routes.collect() };
    let places = config.routes.iter().enumerate().map(|(place, route)| (route.matching.clone(), Arc::new(place)));
    let (table, _) = Table::new(places);
    balancer.settle(&config).await;
    let mut client = Client::new(balancer.address());
    let mut found = std::collections::BTreeSet::new();
    for host in ["a.example.com", "b.example.com", "x.b.example.com", "example.com", "x.org"] {
        for path in ["/", "/v1", "/v1/", "/v1/chat", "/v1/chat/x", "/v1/chat/xy", "/v1/chats", "/v10", "/x"] {
            for model in [None, Some("llama"), Some("bert"), Some("other")] {
                let expected =
                    table.find(host, path).find_map(|models| models.route(model)).map(|place| NAMES[**place]);
                let header = model.map(|model| ("x-gateway-model-name", model));
                let answer = client.get(Asked { host, path, header }).await.unwrap();
                assert_eq!(answer.server(), expected, "{host} {path} {model:?}");
                found.extend(expected);
            }
        }
    }
    assert!(found.len() > 8, "these find few routes: {found:?}");
}
