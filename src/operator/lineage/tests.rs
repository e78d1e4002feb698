//! Events on their way to a collector: a good one, a slow one and one that fails.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::json;
use tokio::sync::Semaphore;

use super::event::tests::{assert_is_run_event, run};
use super::*;

/// Keeps what it is sent, and answers as it is told.
#[derive(Clone)]
struct Receiver {
    taken: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    /// Answers to come, before all is well.
    refusals: Arc<Mutex<Vec<StatusCode>>>,
    /// An answer takes one; the next waits for one.
    permits: Arc<Semaphore>,
}

impl Receiver {
    async fn start(refusals: &[StatusCode], permits: usize) -> (Self, SocketAddr) {
        let refusals = Arc::new(Mutex::new(refusals.to_vec()));
        let receiver = Self { taken: Arc::default(), refusals, permits: Arc::new(Semaphore::new(permits)) };
        let routes = Router::new().route("/api/v1/lineage", post(take)).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        (receiver, address)
    }

    fn kinds(&self) -> Vec<String> {
        self.taken.lock().unwrap().iter().map(|(_, event)| event["eventType"].as_str().unwrap().to_owned()).collect()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> (StatusCode, &'static str) {
    receiver.permits.acquire().await.unwrap().forget();
    if let Some(status) = receiver.refusals.lock().unwrap().pop() {
        return (status, "not now");
    }
    receiver.taken.lock().unwrap().push((headers, serde_json::from_str(&body).unwrap()));
    (StatusCode::CREATED, "")
}

const PLENTY: usize = 1000;

fn sending(address: SocketAddr, waiting: usize, attempts: usize) -> (Lineage, Sending, Metrics) {
    let metrics = Metrics::new();
    let url = format!("http://{address}").parse().unwrap();
    let patience = Patience { attempt: Duration::from_secs(5), first_delay: Duration::from_millis(1), attempts };
    let collector = Collector::new(url, Some("s3cret"), patience).unwrap();
    let (lineage, sending) = started(Some(collector), waiting, metrics.clone());
    (lineage, sending, metrics)
}

fn pass(lineage: &Lineage, has_work: bool, end: &RunEnd) {
    let told = lineage.run(run).unwrap();
    if has_work {
        told.begin();
        told.begin();
    }
    told.end(end, Timestamp::now(), &[]);
}

fn counted(metrics: &Metrics, outcome: &str) -> u64 {
    let text = metrics.encode().unwrap();
    let name = format!("skyfleet_lineage_events_total{{outcome=\"{outcome}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn what_a_pass_did_is_told_and_of_one_without_work_nothing() {
    let (receiver, address) = Receiver::start(&[], PLENTY).await;
    let (lineage, sending, metrics) = sending(address, 10, 0);
    pass(&lineage, false, &RunEnd::Complete);
    pass(&lineage, false, &RunEnd::Abort);
    pass(&lineage, true, &RunEnd::Complete);
    pass(&lineage, false, &RunEnd::Fail("gone".to_owned()));
    sending.end().await;
    assert_eq!(receiver.kinds(), ["START", "COMPLETE", "START", "FAIL"]);
    assert_eq!(counted(&metrics, "sent"), 4);
    let taken = receiver.taken.lock().unwrap();
    for (headers, event) in taken.iter() {
        assert_is_run_event(event);
        let said = ["authorization", "content-type"].map(|name| headers[name].to_str().unwrap());
        assert_eq!(said, ["Bearer s3cret", "application/json"]);
    }
    assert_eq!(taken[3].1["run"]["facets"]["errorMessage"]["message"], json!("gone"));
}

#[tokio::test]
async fn what_is_refused_for_now_is_sent_again_and_what_is_refused_for_good_is_not() {
    let passing = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
    let (receiver, address) = Receiver::start(&passing, PLENTY).await;
    let (lineage, sender, metrics) = sending(address, 10, 3);
    pass(&lineage, true, &RunEnd::Complete);
    sender.end().await;
    assert_eq!((receiver.kinds().len(), counted(&metrics, "sent")), (2, 2));

    let (receiver, address) = Receiver::start(&[StatusCode::UNAUTHORIZED], PLENTY).await;
    let (lineage, sender, metrics) = sending(address, 10, 3);
    pass(&lineage, true, &RunEnd::Complete);
    sender.end().await;
    assert_eq!(receiver.kinds(), ["COMPLETE"], "the first one was refused once, for good");
    assert_eq!((counted(&metrics, "refused"), counted(&metrics, "sent")), (1, 1));

    // The budget is bounded.
    let (receiver, address) = Receiver::start(&[StatusCode::BAD_GATEWAY; 3], PLENTY).await;
    let (lineage, sender, metrics) = sending(address, 10, 2);
    pass(&lineage, true, &RunEnd::Complete);
    sender.end().await;
    assert_eq!((receiver.kinds().len(), counted(&metrics, "refused")), (1, 1));
}

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_up_nothing() {
    let (receiver, address) = Receiver::start(&[], 0).await;
    let (lineage, sender, metrics) = sending(address, 2, 0);
    let begun = Instant::now();
    for _ in 0..100 {
        pass(&lineage, true, &RunEnd::Complete);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "nobody waited for an answer");
    let left_out = counted(&metrics, "left_out");
    assert!((197..=198).contains(&left_out), "two wait, and one may be on its way: {left_out}");
    receiver.permits.add_permits(PLENTY);
    sender.end().await;
    assert_eq!(receiver.kinds().len() as u64 + left_out, 200);
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_collector_that_is_gone() {
    let (_receiver, address) = Receiver::start(&[], 0).await;
    let (lineage, sender, _) = sending(address, 10, 0);
    pass(&lineage, true, &RunEnd::Complete);
    timeout(LAST_LIMIT * 2, sender.end()).await.unwrap();
}

#[tokio::test]
async fn where_nobody_collects_nothing_is_told() {
    let (lineage, sender) = start(None, None, Metrics::new()).unwrap();
    assert!(lineage.run(|| panic!("nobody asks for it")).is_none());
    sender.end().await;
}
