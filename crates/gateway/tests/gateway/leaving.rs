//! Clients that leave before an answer begins: it is logged and measured, and what was kept for them is given back.

use std::time::Duration;

use skyfleet_gateway::config::{HedgingConfig, QueueConfig, RateLimits, Rates, RouteConfig};
use tokio::sync::oneshot;

use crate::calls;
use crate::client::Client;
use crate::replica::{Replica, Reply, ok};
use crate::running::{Running, everything, of_models};
use crate::service::{Body, Service, handler, text};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
/// Reserves some 110 tokens, most of them for the answer.
const BODY: &str = r#"{"model": "m", "max_tokens": 100, "messages": []}"#;

/// A replica that does not answer its first request, and what says that the gateway has given that up.
async fn silent_once() -> (Replica, oneshot::Receiver<()>) {
    let (closed, is_closed) = oneshot::channel();
    let mut closed = Some(closed);
    (Replica::start(move |_| closed.take().map_or_else(|| ok("answer"), Reply::Silent)).await, is_closed)
}

async fn asked(replica: &Replica, count: usize) {
    while replica.count() < count {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn sent(running: &Running, request: &[u8]) -> Client {
    let mut client = running.client().await;
    client.send(request).await;
    client
}

/// A minute has tokens for one such request, and for its prompt once more.
fn limits() -> RateLimits {
    let total = Some(Rates { requests_per_minute: None, tokens_per_minute: Some(150) });
    RateLimits { total, ..RateLimits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_is_logged_as_by_nginx_and_its_replica_asked_no_more() {
    let (replica, closed) = silent_once().await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let client = sent(&running, GET).await;
    asked(&replica, 1).await;
    drop(client);
    closed.await.unwrap();
    running.until_idle().await;
    let line = &running.log(1).await[0];
    assert_eq!((&line["status"], &line["bytes"], &line["first_byte_ms"]), (&499.into(), &0.into(), &0.0.into()));
    assert_eq!((&line["error"], &line["attempts"]), (&"the client went away".into(), &1.into()));
    let endpoint = format!("pod-{}", replica.port);
    assert_eq!((&line["backend"], &line["endpoint"]), (&"all".into(), &endpoint.into()));
    let text = running.gateway.metrics().unwrap();
    for line in [
        "skyfleet_gateway_clients_left_total 1",
        r#"skyfleet_gateway_requests_total{route="test/all",backend="all",outcome="cancelled"} 1"#,
        r#"skyfleet_gateway_first_byte_seconds_count{route="test/all",backend="all"} 0"#,
        r#"skyfleet_gateway_duration_seconds_count{route="test/all",backend="all"} 1"#,
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert_eq!(running.get("/").await, (200, "answer".to_owned()));
    assert_eq!(running.log(2).await[1]["status"], 200);
    assert!(running.gateway.metrics().unwrap().contains("clients_left_total 1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_answer_that_nobody_waits_for_are_given_back() {
    let (replica, closed) = silent_once().await;
    let running =
        Running::of(vec![RouteConfig { limits: limits(), ..of_models(&["m"], vec![replica.endpoint()]) }]).await;
    let request = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
    let client = sent(&running, request.as_bytes()).await;
    asked(&replica, 1).await;
    assert_eq!(running.post("/", BODY).await.0, 429, "all are taken");
    drop(client);
    closed.await.unwrap();
    let lines = running.log(2).await;
    assert_eq!((&lines[1]["status"], &lines[1]["model"]), (&499.into(), &"m".into()));
    assert_eq!(running.post("/", BODY).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_the_queue_gives_everything_back() {
    let (replica, _closed) = silent_once().await;
    let queue = Some(QueueConfig { most: 8, timeout: Duration::from_mins(1) });
    let waits = RouteConfig { most_in_flight: Some(1), queue, ..of_models(&["m"], vec![replica.endpoint()]) };
    let total = Some(Rates { requests_per_minute: Some(2), tokens_per_minute: None });
    let running =
        Running::of(vec![RouteConfig { limits: RateLimits { total, ..RateLimits::default() }, ..waits }]).await;
    let request = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
    let first = sent(&running, request.as_bytes()).await;
    asked(&replica, 1).await;
    let second = sent(&running, request.as_bytes()).await;
    while running.waiting() < 1 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(second);
    let line = running.log(1).await[0].clone();
    assert_eq!((&line["status"], &line["route"], &line["attempts"]), (&499.into(), &"test/models".into(), &0.into()));
    assert!(line.get("endpoint").is_none(), "{line}");
    assert_eq!(running.waiting(), 0);
    drop(first);
    assert_eq!(running.log(2).await[1]["attempts"], 1);
    running.until_idle().await;
    // The first one has asked a replica and counts; this is the second of the minute, since the other one has asked nobody.
    assert_eq!(running.post("/", BODY).await.0, 200);
    assert_eq!(running.post("/", BODY).await.0, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_while_two_are_asked_is_told_of_once() {
    let silent = || Replica::start(|_| Reply::Silent(oneshot::channel().0));
    let (one, other) = (silent().await, silent().await);
    let hedging = Some(HedgingConfig { after: Duration::from_millis(20), budget_percent: 10 });
    let route = RouteConfig { hedging, ..everything(vec![one.endpoint(), other.endpoint()]) };
    let running = Running::of(vec![route]).await;
    let client = sent(&running, GET).await;
    asked(&one, 1).await;
    asked(&other, 1).await;
    drop(client);
    running.until_idle().await;
    let lines = running.log(1).await;
    assert_eq!((lines.len(), &lines[0]["status"], &lines[0]["hedged"]), (1, &499.into(), &true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cancelled_before_its_answer_is_one_too() {
    let silent = handler(|_, _| std::future::pending::<http::Response<Body>>());
    let silent = Service::start(calls::http2(), silent).await;
    let running = Running::of(vec![calls::route(vec![silent.endpoint()])]).await;
    let mut client = calls::client(&running).await;
    let call = client.send_request(calls::call(text(calls::message("x"))));
    let until_asked = async {
        while running.in_flight() < 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        answer = call => panic!("{answer:?}"),
        () = until_asked => {}
    }
    running.until_idle().await;
    let line = &running.log(1).await[0];
    assert_eq!((&line["status"], &line["error"]), (&499.into(), &"the client went away".into()));
}
