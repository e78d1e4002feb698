//! What a new process takes over.

use http_body_util::BodyExt as _;
use skyfleet_gateway::config::{Affinity, AffinityBy, Algorithm, Config};

use super::running::Running;
use crate::balancer::{Balancer, Restarts};
use crate::client::{Asked, Client};
use crate::load::Load;
use crate::replica::{PIECES, Replica};
use crate::routes::{HOST, to};

/// A stream goes on in the old process, while its server is gone from the new one and its route is another.
#[tokio::test(flavor = "multi_thread")]
async fn streams_outlive_their_process() {
    let balancer = Running::start().await;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    balancer.settle(&to(&[&a])).await;
    let mut client = Client::new(balancer.address());
    let asked = Asked { host: HOST, path: "/stream", header: None };
    let mut stream = client.send(asked).await.unwrap().into_body();
    let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    let load = Load::start(balancer.address(), HOST, "/", 4);
    load.is_answered_by(&["a"]).await;
    let before = balancer.process().await;
    let mut other = to(&[&b]);
    other.routes[0].algorithm = Algorithm::LeastConnection;
    balancer.settle(&other).await;
    assert_ne!(balancer.process().await, before, "it was not reloaded");
    load.is_answered_by(&["b"]).await;
    balancer.settle(&Config::default()).await;
    balancer.settle(&other).await;
    let text = [first, stream.collect().await.expect("the rest of the stream").to_bytes()].concat();
    assert_eq!(String::from_utf8(text).unwrap().matches("data: ").count(), PIECES);
    load.stop().await;
}

/// Clients that keep their connections see nothing of one reload after the other.
#[tokio::test(flavor = "multi_thread")]
async fn reloads_cost_no_request() {
    let balancer = Running::start().await;
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let mut config = to(&[&a, &b]);
    balancer.settle(&config).await;
    let load = Load::start(balancer.address(), HOST, "/", 8);
    for round in 0..10 {
        let algorithms = [Algorithm::LeastConnection, Algorithm::RoundRobin];
        config.routes[0].algorithm = algorithms[round % 2];
        balancer.settle(&config).await;
        load.is_answered_by(&["a", "b"]).await;
    }
    let outcome = load.stop().await;
    println!("ten reloads: {} answered, {} kept connections ended", outcome.total(), outcome.raced);
    assert_eq!((outcome.failed, outcome.raced), (Vec::new(), 0));
}

/// Whether commands or a file made the servers, hashing knows them by the same numbers.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_keep_their_servers_over_a_restart() {
    let mut balancer = Running::start().await;
    let [a, b, c] = ["a", "b", "c"].map(Replica::start);
    let affinity = Some(Affinity { by: AffinityBy::Header("x-session".to_owned()), bound_percent: 125 });
    let mut config = to(&[&a]);
    config.routes[0].affinity = affinity.clone();
    balancer.settle(&config).await;
    let mut config = to(&[&a, &b, &c]);
    config.routes[0].affinity = affinity;
    balancer.settle(&config).await;
    let before = servers(&balancer).await;
    assert!(before.iter().any(|server| *server != before[0]), "{before:?}");
    balancer.kill().await;
    balancer.start_again().await;
    assert_eq!(servers(&balancer).await, before);
}

/// Who answers each of some sessions.
async fn servers(balancer: &Running) -> Vec<String> {
    let mut servers = Vec::new();
    for session in 0..30 {
        let session = format!("session-{session}");
        let asked = Asked { host: HOST, path: "/", header: Some(("X-Session", &session)) };
        let answer = Client::new(balancer.address()).get(asked).await.unwrap();
        servers.push(answer.server().unwrap().to_owned());
    }
    servers
}
