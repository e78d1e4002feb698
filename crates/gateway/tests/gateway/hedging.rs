//! Requests that take long are sent to a second replica too.

use std::time::Duration;

use skyfleet_gateway::config::{Ejection, EndpointConfig, HedgingConfig, Retries, RouteConfig};
use tokio::sync::mpsc;

use crate::client::Client;
use crate::replica::{Replica, Reply};
use crate::running::{Running, everything, of_models};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The answer to a request, as the test gives it. It cannot be sent any more once the gateway has closed the connection.
type Gate = mpsc::UnboundedSender<Vec<u8>>;

/// Two replicas, and what is asked of either, in the order in which it comes.
async fn pair() -> ([Replica; 2], mpsc::UnboundedReceiver<Gate>) {
    let (told, gates) = mpsc::unbounded_channel();
    let start = || {
        let told = told.clone();
        Replica::start(move |_| {
            let (gate, pieces) = mpsc::unbounded_channel();
            told.send(gate).unwrap();
            Reply::Fed(pieces)
        })
    };
    ([start().await, start().await], gates)
}

/// A single failure ejects.
fn hedged(after: u64, route: RouteConfig) -> RouteConfig {
    let hedging = Some(HedgingConfig { after: Duration::from_millis(after), budget_percent: 10 });
    let ejection = Ejection { consecutive_errors: 1, ..Ejection::default() };
    let retries = Retries { attempts: 0, ..Retries::default() };
    RouteConfig { hedging, ejection, retries, ..route }
}

fn endpoints(replicas: &[Replica]) -> Vec<EndpointConfig> {
    replicas.iter().map(Replica::endpoint).collect()
}

async fn asking(running: &Running, request: &str) -> Client {
    let mut client = running.client().await;
    client.send(request.as_bytes()).await;
    client
}

/// Until the gateway has closed the connection.
async fn closed(gate: Gate) {
    while gate.send(b" ".to_vec()).is_ok() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn counts(running: &Running) -> (String, String) {
    let text = running.gateway.metrics().unwrap();
    let count = |name: &str| {
        let name = format!("skyfleet_gateway_{name}_total{{");
        let line = text.lines().find(|line| line.starts_with(&name)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    (count("hedges"), count("hedges_won"))
}

fn all_serve(running: &Running) -> bool {
    let status = running.gateway.status();
    status[0].backends[0].endpoints.iter().all(|endpoint| endpoint.condition == "Serving")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_one_answers_when_the_first_is_slow() {
    let (replicas, mut gates) = pair().await;
    let running = Running::of(vec![hedged(20, everything(endpoints(&replicas)))]).await;
    let mut client = asking(&running, GET).await;
    let (slow, quick) = (gates.recv().await.unwrap(), gates.recv().await.unwrap());
    assert_eq!(replicas.each_ref().map(Replica::count), [1, 1], "never the same one");
    assert_eq!(running.in_flight(), 2);
    quick.send(OK.into()).unwrap();
    assert_eq!(client.answer(false).await.body, "ok");
    closed(slow).await;
    running.until_idle().await;
    assert!(all_serve(&running), "to be slower is no failure");
    assert_eq!(counts(&running), ("1".to_owned(), "1".to_owned()));
    let line = &running.log(1).await[0];
    assert_eq!((&line["hedged"], &line["attempts"]), (&true.into(), &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_one_may_still_win() {
    let (replicas, mut gates) = pair().await;
    let running = Running::of(vec![hedged(20, of_models(&["m"], endpoints(&replicas)))]).await;
    let body = r#"{"model": "m"}"#;
    let request = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut client = asking(&running, &request).await;
    let (first, second) = (gates.recv().await.unwrap(), gates.recv().await.unwrap());
    first.send(OK.into()).unwrap();
    assert_eq!(client.answer(false).await.body, "ok");
    closed(second).await;
    running.until_idle().await;
    assert!(all_serve(&running));
    assert_eq!(counts(&running), ("1".to_owned(), "0".to_owned()));
    for replica in &replicas {
        assert_eq!(replica.received()[0].body, body.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_fails_the_other_is_waited_for() {
    for fails in [0, 1] {
        let (replicas, mut gates) = pair().await;
        let running = Running::of(vec![hedged(20, everything(endpoints(&replicas)))]).await;
        let mut client = asking(&running, GET).await;
        let mut both = vec![gates.recv().await.unwrap(), gates.recv().await.unwrap()];
        drop(both.remove(fails));
        while running.in_flight() > 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        both.remove(0).send(OK.into()).unwrap();
        assert_eq!(client.answer(false).await.body, "ok", "{fails}");
        assert!(!all_serve(&running), "who failed is ejected");
    }
    // Where both do, it is a failure.
    let (replicas, mut gates) = pair().await;
    let running = Running::of(vec![hedged(20, everything(endpoints(&replicas)))]).await;
    let mut client = asking(&running, GET).await;
    drop((gates.recv().await.unwrap(), gates.recv().await.unwrap()));
    assert_eq!(client.answer(false).await.status, 502);
    running.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_may_be_asked_twice_of_somebody_else_is_hedged() {
    let post = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx";
    let upgrade = "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    for (what, request) in [("a POST", post), ("a tunnel", upgrade), ("alone", GET), ("the other is full", GET)] {
        let (replicas, mut gates) = pair().await;
        let some = if what == "alone" { &replicas[..1] } else { &replicas[..] };
        let most_in_flight = (what == "the other is full").then_some(1);
        let route = RouteConfig { most_in_flight, ..everything(endpoints(some)) };
        let running = Running::of(vec![hedged(20, route)]).await;
        let mut busy = Vec::new();
        let mut client = asking(&running, request).await;
        if most_in_flight.is_some() {
            // Either of them hangs as well, and takes the other place, before the time of this one is over or as its hedge.
            busy.push(asking(&running, GET).await);
            busy.push(asking(&running, GET).await);
        }
        let first = gates.recv().await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let most = if most_in_flight.is_some() { 2 } else { 1 };
        assert_eq!(replicas.iter().map(Replica::count).sum::<usize>(), most, "{what}");
        first.send(OK.into()).unwrap();
        if most_in_flight.is_none() {
            assert_eq!(client.answer(false).await.body, "ok", "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_slow_few_are_hedged() {
    let (replicas, mut gates) = pair().await;
    let running = Running::of(vec![hedged(1, everything(endpoints(&replicas)))]).await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(asking(&running, GET).await);
    }
    let mut slow = Vec::new();
    // One a second is covered, ten of them at once.
    while slow.len() < 50 {
        slow.push(gates.recv().await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    // And a tenth of the requests; some more if this took long.
    let sent = replicas.iter().map(Replica::count).sum::<usize>() - 40;
    assert!((10..30).contains(&sent), "{sent}");
}
