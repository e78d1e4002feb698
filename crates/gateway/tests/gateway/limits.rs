//! What clients may ask for, and how they wait for it.

use std::time::Duration;

use skyfleet_gateway::config::{Config, QueueConfig, RateLimits, Rates, RouteConfig};
use tokio::sync::mpsc;

use crate::client::Client;
use crate::replica::{Replica, Reply};
use crate::running::{Running, everything, of_models};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";

fn queueing(most: u32, timeout: Duration, replica: &[&Replica]) -> RouteConfig {
    let endpoints = replica.iter().map(|replica| replica.endpoint()).collect();
    let queue = Some(QueueConfig { most, timeout });
    RouteConfig { queue, most_in_flight: Some(1), ..everything(endpoints) }
}

/// A replica that answers each request once the test lets it.
async fn gated() -> (Replica, mpsc::UnboundedReceiver<mpsc::UnboundedSender<Vec<u8>>>) {
    let (told, gates) = mpsc::unbounded_channel();
    let replica = Replica::start(move |_| {
        let (gate, pieces) = mpsc::unbounded_channel();
        told.send(gate).unwrap();
        Reply::Fed(pieces)
    });
    (replica.await, gates)
}

/// Answers, and ends the connection.
fn answer(gate: mpsc::UnboundedSender<Vec<u8>>) {
    gate.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok".to_vec()).unwrap();
    drop(gate);
}

async fn asking(running: &Running) -> Client {
    let mut client = running.client().await;
    client.send(GET).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_until_a_replica_has_room() {
    let (replica, mut gates) = gated().await;
    let running = Running::of(vec![queueing(8, Duration::from_mins(1), &[&replica])]).await;
    let mut first = asking(&running).await;
    let gate = gates.recv().await.unwrap();
    // All of one client: a quarter of the places are its own.
    let (mut second, gone) = (asking(&running).await, asking(&running).await);
    while running.waiting() < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (status, body) = running.get("/").await;
    assert!(status == 503 && body.contains("queue_full"), "{status} {body}");
    drop(gone);
    while running.waiting() > 1 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    answer(gate);
    assert_eq!(first.answer(false).await.body, "ok");
    let gate = gates.recv().await.unwrap();
    answer(gate);
    assert_eq!(second.answer(false).await.body, "ok");
    running.until_idle().await;
    assert_eq!((running.waiting(), replica.count()), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_too_long_is_told_and_who_waits_for_the_first_replica_is_served() {
    let (busy, mut gates) = gated().await;
    let running = Running::of(vec![queueing(8, Duration::from_millis(200), &[&busy])]).await;
    let _first = asking(&running).await;
    let _gate = gates.recv().await.unwrap();
    let (status, body) = running.get("/").await;
    assert!(status == 503 && body.contains("queue_timed_out"), "{status} {body}");

    let running = Running::of(vec![queueing(8, Duration::from_mins(1), &[])]).await;
    let mut early = asking(&running).await;
    while running.waiting() < 1 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let replica = Replica::named("there").await;
    running.gateway.configure(Config { routes: vec![queueing(8, Duration::from_mins(1), &[&replica])] });
    assert_eq!(early.answer(false).await.body, "there");
}

async fn ask_as(running: &Running, key: &str) -> (u16, String) {
    let body = r#"{"model": "m", "max_tokens": 100, "messages": []}"#;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nx-key: {key}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let answer = running.client().await.exchange(&(head + body)).await;
    (answer.status, answer.head + &answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_has_its_requests_a_minute_and_all_have_theirs() {
    let replica = Replica::named("x").await;
    let rates = |requests| Some(Rates { requests_per_minute: Some(requests), tokens_per_minute: None });
    let limits = RateLimits { client_header: Some("x-key".to_owned()), per_client: rates(2), total: rates(3) };
    let route = RouteConfig { limits, ..of_models(&["m"], vec![replica.endpoint()]) };
    let running = Running::of(vec![route.clone()]).await;
    for (key, status, whose) in [
        ("a", 200, ""),
        ("a", 200, ""),
        ("a", 429, "this client"),
        ("b", 200, ""),
        ("b", 429, "all clients together"),
        ("c", 429, "all clients together"),
    ] {
        let (got, text) = ask_as(&running, key).await;
        assert!(got == status && text.contains(whose), "{key}: {got} {text}");
        assert_eq!(text.contains("retry-after: "), status == 429, "{text}");
    }
    // A route that changes does not give everybody a new minute.
    running.gateway.configure(Config { routes: vec![RouteConfig { request_bytes: 4096, ..route }] });
    assert_eq!(ask_as(&running, "a").await.0, 429);
    assert_eq!(replica.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_reserved_before_and_settled_after() {
    let replica = Replica::start(|_| {
        let body = r#"{"usage": {"prompt_tokens": 10, "completion_tokens": 20}}"#;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
        Reply::Raw(format!("{head} {}\r\n\r\n{body}", body.len()).into_bytes())
    })
    .await;
    let rates = Some(Rates { requests_per_minute: None, tokens_per_minute: Some(175) });
    let limits = RateLimits { per_client: rates, ..RateLimits::default() };
    let running = Running::of(vec![RouteConfig { limits, ..of_models(&["m"], vec![replica.endpoint()]) }]).await;
    // Each reserves 112 and uses 30: the second and third fit since the others have given theirs back, and the fourth reserves too much.
    for (turn, status) in [200, 200, 200, 429].into_iter().enumerate() {
        let (got, text) = ask_as(&running, "k").await;
        assert_eq!(got, status, "{turn}: {text}");
        running.until_idle().await;
        running.log(turn + 1).await;
    }
    let line = &running.log(4).await[0];
    assert_eq!((&line["prompt_tokens"], &line["completion_tokens"]), (&10.into(), &20.into()));
    let metrics = running.gateway.metrics().unwrap();
    let completion = r#"skyfleet_gateway_tokens_total{route="test/models",backend="models",kind="completion"} 60"#;
    assert!(metrics.contains(completion), "{metrics}");
}
