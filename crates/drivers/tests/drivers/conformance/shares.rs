use std::time::Duration;

use skyfleet_gateway::config::{Algorithm, Config};

use crate::balancer::Balancer;
use crate::load::ask;
use crate::replica::Replica;
use crate::routes::{HOST, backend, route, to};

/// Replicas get their share of a backend, and backends theirs of the route.
pub async fn shares_are_as_weights_say<B: Balancer>() {
    let balancer = B::start().await;
    let [a, b, c] = ["a", "b", "c"].map(Replica::start);
    let mut only = route("llama", HOST, &[]);
    only.backends = vec![backend(3, &[(&a, 2), (&b, 1)]), backend(1, &[(&c, 5)])];
    let config = Config { routes: vec![only] };
    balancer.settle(&config).await;
    let outcome = ask(balancer.address(), HOST, "/", 4, 480).await;
    assert_eq!(outcome.failed, Vec::<String>::new());
    for (name, share) in [("a", 0.5), ("b", 0.25), ("c", 0.25)] {
        assert!((outcome.share(name) - share).abs() < 0.05, "{name} should have {share}: {:?}", outcome.answered);
    }
}

/// Who answers slowly has requests in flight, and gets fewer.
pub async fn a_slow_server_gets_less_by_least_connection<B: Balancer>() {
    let balancer = B::start().await;
    let (fast, slow) = (Replica::start("fast"), Replica::slow("slow", Duration::from_millis(500)));
    let mut config = to(&[&fast, &slow]);
    config.routes[0].algorithm = Algorithm::LeastConnection;
    balancer.settle(&config).await;
    let outcome = ask(balancer.address(), HOST, "/", 8, 400).await;
    assert_eq!(outcome.failed, Vec::<String>::new());
    assert!(outcome.share("slow") < 0.25, "{:?}", outcome.answered);
}

/// Another one is asked at once where no connection can be made.
pub async fn a_dead_server_costs_no_request<B: Balancer>() {
    let balancer = B::start().await;
    let (alive, mut dead) = (Replica::start("alive"), Replica::start("dead"));
    dead.crash().await;
    balancer.settle(&to(&[&alive, &dead])).await;
    let outcome = ask(balancer.address(), HOST, "/", 2, 100).await;
    assert_eq!(outcome.failed, Vec::<String>::new());
    assert_eq!(outcome.answered.keys().collect::<Vec<_>>(), ["alive"]);
}
