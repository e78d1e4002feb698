use std::collections::HashSet;

use skyfleet_drivers::Driver;
use skyfleet_gateway::config::{Affinity, AffinityBy};

use crate::balancer::Balancer;
use crate::client::{Asked, Client};
use crate::replica::Replica;
use crate::routes::{HOST, to};

/// Requests with the same value of a header are answered by the same server, unless the load balancer says that it cannot do that.
pub async fn one_header_has_one_server<B: Balancer>() {
    let balancer = B::start().await;
    let replicas = ["a", "b", "c"].map(Replica::start);
    let mut config = to(&replicas.each_ref());
    config.routes[0].affinity = Some(Affinity { by: AffinityBy::Header("x-session".to_owned()), bound_percent: 125 });
    let lacks = balancer.driver().plan(&config).lacks;
    if lacks.values().flatten().any(|lack| lack.field.starts_with("spec.affinity")) {
        println!("{}: {lacks:?}", balancer.driver().name());
        return;
    }
    balancer.settle(&config).await;
    let mut used = HashSet::new();
    for session in 0..12 {
        let session = format!("session-{session}");
        let mut own = HashSet::new();
        for _ in 0..4 {
            // Each over a connection of its own.
            let asked = Asked { host: HOST, path: "/", header: Some(("X-Session", &session)) };
            own.insert(Client::new(balancer.address()).get(asked).await.unwrap().server().unwrap().to_owned());
        }
        assert_eq!(own.len(), 1, "{session}: {own:?}");
        used.extend(own);
    }
    assert!(used.len() > 1, "all sessions have {used:?}");
}
