//! Endpoints that fail, come and go: the client sees nothing of it as long as another can answer.

use std::collections::BTreeMap;
use std::time::Duration;

use skyfleet_gateway::config::{Config, Ejection, Locality, Retries, RouteConfig, Timeouts};
use tokio::sync::{mpsc, oneshot};

use crate::port;
use crate::replica::{Replica, Reply, at, ok, with_status};
use crate::running::{Running, everything, of_models};

const CHAT: &str = r#"{"model": "m", "messages": []}"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_has_its_turn() {
    let (one, other) = (Replica::named("one").await, Replica::named("other").await);
    let running = Running::with(vec![one.endpoint(), other.endpoint()]).await;
    let mut counts = BTreeMap::new();
    for _ in 0..20 {
        let (status, body) = running.get("/").await;
        assert_eq!(status, 200);
        *counts.entry(body).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([("one".to_owned(), 10), ("other".to_owned(), 10)]));
    running.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_reached_is_passed_over_whatever_is_asked() {
    let there = Replica::named("there").await;
    let running = Running::with(vec![at(port::reserve().port()), there.endpoint()]).await;
    for _ in 0..4 {
        assert_eq!(running.get("/").await, (200, "there".to_owned()));
        assert_eq!(running.post("/", "x").await.0, 200, "nothing of it was sent to the other one");
    }
    assert!(running.log(8).await.iter().any(|line| line["attempts"] == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_done_twice_is_sent_again_and_nothing_else() {
    let break_off = || Reply::Last(Vec::new());
    for (status, reply, is_sent_again) in [
        (502, break_off as fn() -> Reply, true),
        (503, || with_status("503 Service Unavailable", ""), true),
        (502, || with_status("502 Bad Gateway", ""), true),
        (500, || with_status("500 Internal Server Error", ""), false),
        (400, || with_status("400 Bad Request", ""), false),
        (429, || with_status("429 Too Many Requests", ""), false),
    ] {
        let (bad, good) = (Replica::start(move |_| reply()).await, Replica::named("good").await);
        let endpoints = || vec![bad.endpoint(), good.endpoint()];
        for what in ["GET", "model", "POST"] {
            let running = Running::of(vec![everything(endpoints()), of_models(&["m"], endpoints())]).await;
            let mut statuses = Vec::new();
            for _ in 0..2 {
                statuses.push(match what {
                    "GET" => running.get("/").await.0,
                    "model" => running.post("/v1/chat/completions", CHAT).await.0,
                    _ => running.post("/v1/chat/completions", "x").await.0,
                });
            }
            statuses.sort_unstable();
            // A server that refuses has not done it; one that broke off may have.
            let is_unknown = what == "POST" && status == 502;
            let other = if is_sent_again && !is_unknown { 200 } else { status };
            assert_eq!(statuses, [200, other], "{what} {status}");
            running.until_idle().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_was_closed_meanwhile_is_no_failure() {
    let replica =
        Replica::answers([(|| ok("first")) as fn() -> Reply, || Reply::Last(Vec::new()), || ok("again")]).await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let mut client = running.client().await;
    let get = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    assert_eq!(client.exchange(get).await.body, "first");
    assert_eq!(client.exchange(get).await.body, "again");
    let connections: Vec<_> = replica.received().iter().map(|received| received.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_and_their_budget_have_an_end() {
    let bad = Replica::start(|_| with_status("503 Service Unavailable", "no")).await;
    let route = |retries| RouteConfig { retries, ..everything(vec![bad.endpoint()]) };
    let running = Running::of(vec![route(Retries { attempts: 3, ..Retries::default() })]).await;
    assert_eq!(running.get("/").await, (503, "no".to_owned()));
    assert_eq!(bad.count(), 4);
    // Some are always there; many more would keep down what is down.
    let few = Retries { attempts: 5, budget_percent: 0, ..Retries::default() };
    let running = Running::of(vec![route(few)]).await;
    let before = bad.count();
    for _ in 0..20 {
        running.get("/").await;
    }
    assert!((20..=20 + 11).contains(&(bad.count() - before)), "{}", bad.count() - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_again_and_again_is_left_out() {
    let (bad, good) = (Replica::start(|_| with_status("500 Oops", "")).await, Replica::named("good").await);
    let ejection = Ejection { consecutive_errors: 3, base: Duration::from_mins(10), most_percent: 50 };
    let route = RouteConfig { ejection, ..everything(vec![bad.endpoint(), good.endpoint()]) };
    let running = Running::of(vec![route]).await;
    let mut failed = 0;
    for _ in 0..20 {
        failed += u32::from(running.get("/").await.0 == 500);
    }
    assert_eq!((failed, bad.count()), (3, 3));
    let status = running.gateway.status();
    let conditions: Vec<_> = status[0].backends[0].endpoints.iter().map(|endpoint| &*endpoint.condition).collect();
    assert!(conditions.contains(&"Ejected") && conditions.contains(&"Serving"), "{conditions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_answer_is_given_up_in_time() {
    let silent = Replica::start(|_| Reply::Silent(oneshot::channel().0)).await;
    let timeouts = Timeouts { first_byte: Duration::from_millis(200), ..Timeouts::default() };
    let alone = RouteConfig {
        timeouts,
        retries: Retries { attempts: 0, ..Retries::default() },
        ..everything(vec![silent.endpoint()])
    };
    let running = Running::of(vec![alone.clone()]).await;
    let (status, body) = running.get("/").await;
    assert!(status == 504 && body.contains("replica_timed_out"), "{status} {body}");
    let good = Replica::named("good").await;
    let both = RouteConfig { retries: Retries::default(), ..everything(vec![silent.endpoint(), good.endpoint()]) };
    running.gateway.configure(Config { routes: vec![RouteConfig { timeouts, ..both }] });
    for _ in 0..4 {
        assert_eq!(running.get("/").await, (200, "good".to_owned()));
    }
    running.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_endpoints_come_and_go() {
    let replicas = [Replica::named("a").await, Replica::named("b").await, Replica::named("c").await];
    let all: Vec<_> = replicas.iter().map(Replica::endpoint).collect();
    let running = Running::with(all.clone()).await;
    let clients = (0..4).map(|_| async {
        let mut client = running.client().await;
        for number in 0..150 {
            let answer = client.exchange("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
            assert_eq!(answer.status, 200, "{number}: {answer:?}");
        }
    });
    let changes = async {
        for turn in 0..60 {
            let some = all.iter().enumerate().filter(|(place, _)| place % 3 != turn % 3).map(|(_, one)| one.clone());
            running.gateway.configure(Config { routes: vec![everything(some.collect())] });
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::join!(futures::future::join_all(clients), changes);
    running.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_when_its_endpoint_leaves() {
    let (sender, pieces) = mpsc::unbounded_channel();
    let mut pieces = Some(pieces);
    let replica = Replica::start(move |_| Reply::Fed(pieces.take().unwrap())).await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let mut client = running.client().await;
    client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    sender.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n".to_vec()).unwrap();
    client.head().await;
    assert_eq!(client.chunk().await.unwrap(), b"one");
    running.gateway.configure(Config { routes: vec![everything(vec![])] });
    let (status, body) = running.get("/").await;
    assert!(status == 503 && body.contains("no_replica"), "{status} {body}");
    assert_eq!(running.in_flight(), 1, "it still counts");
    assert_eq!(running.gateway.status()[0].backends[0].unmet, 1, "somebody asked for a replica");
    sender.send(b"3\r\ntwo\r\n0\r\n\r\n".to_vec()).unwrap();
    assert_eq!(client.chunk().await.unwrap(), b"two");
    assert_eq!(client.chunk().await, None);
    running.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_replicas_come_first_until_they_are_loaded_or_fail() {
    let (near, far) = (Replica::named("near").await, Replica::named("far").await);
    let mut there = far.endpoint();
    there.endpoint.cluster = "gcp-1".to_owned();
    let locality = Some(Locality { cluster: "aws-1".to_owned(), spill_over_percent: 50 });
    let route = |near| RouteConfig {
        locality: locality.clone(),
        most_in_flight: Some(4),
        ..everything(vec![near, there.clone()])
    };
    let running = Running::of(vec![route(near.endpoint())]).await;
    for _ in 0..10 {
        assert_eq!(running.get("/").await.1, "near");
    }
    assert_eq!(far.count(), 0);
    let silent = Replica::start(|_| Reply::Silent(oneshot::channel().0)).await;
    running.gateway.configure(Config { routes: vec![route(silent.endpoint())] });
    let mut clients = Vec::new();
    for number in 1..=2 {
        let mut client = running.client().await;
        client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        while silent.count() < number {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        clients.push(client);
    }
    assert_eq!(running.get("/").await.1, "far", "half of what it takes is in flight");
    drop(clients);
    running.gateway.configure(Config { routes: vec![route(at(port::reserve().port()))] });
    assert_eq!(running.get("/").await.1, "far");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_measured_and_forgotten_with_its_route() {
    let bad = Replica::answers([(|| with_status("503 Service Unavailable", "")) as fn() -> Reply, || ok("good")]).await;
    let running = Running::with(vec![bad.endpoint()]).await;
    assert_eq!(running.get("/").await.0, 200);
    let mut nobody = running.client().await;
    assert_eq!(nobody.exchange("GET / HTTP/1.1\r\n\r\n").await.status, 400);
    running.log(2).await;
    let text = running.gateway.metrics().unwrap();
    for line in [
        r#"skyfleet_gateway_requests_total{route="test/all",backend="all",outcome="2xx"} 1"#,
        r#"skyfleet_gateway_retries_total{route="test/all",backend="all"} 1"#,
        r#"skyfleet_gateway_first_byte_seconds_count{route="test/all",backend="all"} 1"#,
        r#"skyfleet_gateway_refusals_total{code="invalid_host"} 1"#,
        r#"skyfleet_gateway_requests_in_flight{route="test/all",backend="all",member_cluster="aws-1"} 0"#,
        r#"skyfleet_gateway_endpoints{route="test/all",backend="all",member_cluster="aws-1",condition="Serving"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    running.gateway.configure(Config::default());
    assert!(!running.gateway.metrics().unwrap().contains("test/all"));
}
