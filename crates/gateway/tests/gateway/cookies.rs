//! Sessions that a cookie keeps at one replica.

use std::time::Duration;

use skyfleet_gateway::config::{Affinity, AffinityBy, RouteConfig};

use crate::client::Answer;
use crate::replica::{Replica, Reply, ok};
use crate::running::{Running, everything};

fn by_cookie(replicas: &[&Replica]) -> RouteConfig {
    let by = AffinityBy::Cookie { name: "replica".to_owned(), ttl: Some(Duration::from_mins(1)) };
    let affinity = Some(Affinity { by, bound_percent: 1000 });
    RouteConfig { affinity, ..everything(replicas.iter().map(|replica| replica.endpoint()).collect()) }
}

/// What an answer has the client keep.
fn cookies(answer: &Answer) -> Vec<&str> {
    answer.head.lines().filter_map(|line| line.strip_prefix("set-cookie: ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_sets_a_cookie_that_leads_to_the_same_replica() {
    let replicas = [Replica::named("a").await, Replica::named("b").await, Replica::named("c").await];
    let running = Running::of(vec![by_cookie(&replicas.each_ref())]).await;
    let mut used = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let mut client = running.client().await;
        let first = client.exchange("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        let set = cookies(&first);
        let (cookie, attributes) = set[0].split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        assert!(set.len() == 1 && cookie.len() == "replica=".len() + 16, "{set:?}");
        for _ in 0..3 {
            let again = client.exchange(&format!("GET / HTTP/1.1\r\nhost: h\r\ncookie: a=b; {cookie}\r\n\r\n")).await;
            assert_eq!((&again.body, cookies(&again)), (&first.body, vec![]));
        }
        used.insert(first.body);
    }
    assert_eq!(used.len(), 3, "each session has a key of its own");
    let received = replicas[0].received().into_iter().find(|received| received.header("cookie").is_some()).unwrap();
    assert!(received.header("cookie").unwrap().starts_with("a=b; replica="), "it goes on to the replica");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_may_set_it_itself() {
    let own = "HTTP/1.1 200 OK\r\nset-cookie: replica=mine\r\ncontent-length: 0\r\n\r\n";
    let replica = Replica::start(move |_| Reply::Raw(own.into())).await;
    let running = Running::of(vec![by_cookie(&[&replica])]).await;
    let answer = running.client().await.exchange("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(cookies(&answer), ["replica=mine"]);
    // What nobody asks for is not set.
    let other = Replica::start(|_| ok("x")).await;
    let running = Running::with(vec![other.endpoint()]).await;
    assert_eq!(cookies(&running.client().await.exchange("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await), [""; 0]);
}
