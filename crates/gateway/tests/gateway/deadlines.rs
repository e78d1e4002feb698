//! The time that a request and its answer may take in all.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use skyfleet_gateway::config::{Ejection, QueueConfig, RouteConfig, Timeouts};
use tokio::sync::{mpsc, oneshot};

use crate::replica::{Replica, Reply};
use crate::running::{Running, everything, of_models};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const EVENT: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";

/// The first failure ejects, if there is a second replica.
fn within(limit: Duration, replicas: &[&Replica]) -> RouteConfig {
    let timeouts = Timeouts { request: Some(limit), ..Timeouts::default() };
    let ejection = Ejection { consecutive_errors: 1, ..Ejection::default() };
    RouteConfig { timeouts, ejection, ..everything(replicas.iter().map(|replica| replica.endpoint()).collect()) }
}

fn conditions(running: &Running) -> Vec<String> {
    let status = running.gateway.status();
    status[0].backends[0].endpoints.iter().map(|endpoint| endpoint.condition.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_answer_by_then_is_told_and_the_replica_is_to_blame() {
    let (told, mut closed) = mpsc::unbounded_channel();
    let silent = || {
        let told = told.clone();
        Replica::start(move |_| {
            let (sender, is_closed) = oneshot::channel();
            told.send(is_closed).unwrap();
            Reply::Silent(sender)
        })
    };
    let (one, other) = (silent().await, silent().await);
    // Long enough for the request to be there on any machine.
    let running = Running::of(vec![within(Duration::from_secs(2), &[&one, &other])]).await;
    let (status, body) = running.get("/").await;
    assert!(status == 504 && body.contains("request_timed_out"), "{status} {body}");
    closed.recv().await.unwrap().await.unwrap();
    assert_eq!(one.count() + other.count(), 1, "no time is left for another attempt");
    assert!(conditions(&running).contains(&"Ejected".to_owned()), "{:?}", conditions(&running));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_too_slowly_is_nobody_elses_fault() {
    let (one, other) = (Replica::named("one").await, Replica::named("other").await);
    let running = Running::of(vec![within(Duration::from_millis(200), &[&one, &other])]).await;
    let mut client = running.client().await;
    client.send(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nabc").await;
    let answer = client.answer(false).await;
    assert!(answer.status == 504 && answer.body.contains("request_timed_out"), "{answer:?}");
    running.until_idle().await;
    assert_eq!(conditions(&running), ["Serving", "Serving"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_sent_all_of_it_too_late_is_not_passed_on() {
    let replica = Replica::named("x").await;
    let timeouts = Timeouts { request: Some(Duration::from_millis(100)), ..Timeouts::default() };
    let running = Running::of(vec![RouteConfig { timeouts, ..of_models(&["m"], vec![replica.endpoint()]) }]).await;
    let mut client = running.client().await;
    client.send(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 14\r\n\r\n{\"model\":").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.send(b" \"m\"}").await;
    let answer = client.answer(false).await;
    assert!(answer.status == 504 && answer.body.contains("request_timed_out"), "{answer:?}");
    assert_eq!(replica.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_breaks_off_when_its_time_is_over() {
    let feeds = Arc::<Mutex<Vec<mpsc::UnboundedSender<Vec<u8>>>>>::default();
    let streaming = || {
        let feeds = feeds.clone();
        Replica::start(move |_| {
            let (feed, pieces) = mpsc::unbounded_channel();
            feed.send(EVENT.to_vec()).unwrap();
            feeds.lock().unwrap().push(feed);
            Reply::Fed(pieces)
        })
    };
    let (one, other) = (streaming().await, streaming().await);
    // Long enough for the first event on any machine.
    let running = Running::of(vec![within(Duration::from_secs(3), &[&one, &other])]).await;
    let mut client = running.client().await;
    client.send(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(client.chunk().await.unwrap(), b"data: 1\n\n");
    assert_eq!(client.rest().await, b"", "no end that is none");
    running.until_idle().await;
    let line = &running.log(1).await[0];
    assert!(line["error"].as_str().unwrap().contains("took longer than 3s") && line["status"] == 200, "{line}");
    assert_eq!(conditions(&running), ["Serving", "Serving"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_in_a_queue_counts() {
    let queue = Some(QueueConfig { most: 8, timeout: Duration::from_mins(10) });
    let running = Running::of(vec![RouteConfig { queue, ..within(Duration::from_millis(200), &[]) }]).await;
    let (status, body) = running.get("/").await;
    assert!(status == 504 && body.contains("request_timed_out"), "{status} {body}");
    assert_eq!(running.waiting(), 0);
}
