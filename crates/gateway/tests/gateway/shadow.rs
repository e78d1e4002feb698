//! Copies of requests that nobody waits for.

use std::time::Duration;

use skyfleet_gateway::config::{BackendConfig, Config, EndpointConfig, RateLimits, Rates, RouteConfig, ShadowConfig};
use tokio::sync::{mpsc, oneshot};

use crate::replica::{Replica, Reply, at, ok, with_status};
use crate::running::{Running, backend, everything, of_models};

const CHAT: &str = r#"{"model": "m", "messages": []}"#;

fn shadowed(percent: u32, trial: Vec<EndpointConfig>, route: RouteConfig) -> RouteConfig {
    RouteConfig { shadow: Some(ShadowConfig { backend: backend("trial", 1, trial), percent }), ..route }
}

/// Until so many copies have ended so.
async fn until(running: &Running, outcome: &str, count: u64) {
    let line = |route| {
        let labels = format!(r#"route="test/{route}",backend="trial",outcome="{outcome}""#);
        format!("skyfleet_gateway_shadow_requests_total{{{labels}}} {count}\n")
    };
    loop {
        let text = running.gateway.metrics().unwrap();
        if text.contains(&line("all")) || text.contains(&line("models")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_requests_is_copied() {
    let (replica, trial) = (Replica::named("x").await, Replica::named("trial").await);
    let limits = RateLimits {
        total: Some(Rates { requests_per_minute: Some(20), tokens_per_minute: None }),
        ..RateLimits::default()
    };
    let route = RouteConfig { limits, ..of_models(&["m"], vec![replica.endpoint()]) };
    let mut route = shadowed(20, vec![trial.endpoint()], route);
    route.backends[0].model = Some("ours".to_owned());
    if let Some(shadow) = &mut route.shadow {
        shadow.backend.model = Some("theirs".to_owned());
    }
    let running = Running::of(vec![route]).await;
    for _ in 0..20 {
        assert_eq!(running.post("/v1/chat/completions?a=b", CHAT).await, (200, "x".to_owned()));
    }
    assert_eq!(running.post("/v1/chat/completions", CHAT).await.0, 429);
    until(&running, "2xx", 4).await;
    assert_eq!(
        (replica.count(), trial.count()),
        (20, 4),
        "copies count in no limit, and what is refused is not copied"
    );
    let (original, copy) = (&replica.received()[0], &trial.received()[0]);
    assert_eq!((original.header("skyfleet-shadow"), copy.header("skyfleet-shadow")), (None, Some("true")));
    assert!(copy.head.starts_with("POST /v1/chat/completions?a=b HTTP/1.1\r\n"), "{}", copy.head);
    assert_eq!(original.body, CHAT.replace(r#""m""#, r#""ours""#).as_bytes());
    assert_eq!(copy.body, CHAT.replace(r#""m""#, r#""theirs""#).as_bytes());
    let status = running.gateway.status();
    let shadow = status[0].shadow.as_ref().unwrap();
    assert_eq!((shadow.percent, shadow.backend.endpoints[0].in_flight), (20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_a_copy_is_no_matter_to_the_client() {
    let replica = Replica::start(|received| ok(&received.body.len().to_string())).await;
    let silent = Replica::start(|_| Reply::Silent(oneshot::channel().0)).await;
    let fails = Replica::start(|_| with_status("500 Oops", "")).await;
    let breaks = Replica::start(|_| Reply::Last(Vec::new())).await;
    for (trial, outcome) in [
        (vec![silent.endpoint()], None),
        (vec![fails.endpoint()], Some("5xx")),
        (vec![breaks.endpoint()], Some("failed")),
        (vec![at(1)], Some("failed")),
        (vec![], Some("no_replica")),
    ] {
        let running = Running::of(vec![shadowed(100, trial, everything(vec![replica.endpoint()]))]).await;
        // A body of a route without models is read whole, too.
        assert_eq!(running.post("/", &"x".repeat(100_000)).await, (200, "100000".to_owned()));
        assert_eq!(running.get("/").await.0, 200);
        match outcome {
            Some(outcome) => until(&running, outcome, 2).await,
            None => running.until_idle().await,
        }
        // It is forgotten with its route.
        running.gateway.configure(Config::default());
        assert!(!running.gateway.metrics().unwrap().contains("trial"));
    }
    assert_eq!(silent.received()[0].body.len(), 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_read_to_their_end_and_too_many_copies_are_dropped() {
    let replica = Replica::named("x").await;
    let (told, mut gates) = mpsc::unbounded_channel();
    let trial = Replica::start(move |_| {
        let (gate, pieces) = mpsc::unbounded_channel::<Vec<u8>>();
        told.send(gate).unwrap();
        Reply::Fed(pieces)
    })
    .await;
    let running = Running::of(vec![shadowed(100, vec![trial.endpoint()], everything(vec![replica.endpoint()]))]).await;
    let mut client = running.client().await;
    for _ in 0..128 + 3 {
        assert_eq!(client.exchange("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.body, "x");
    }
    until(&running, "dropped", 3).await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    for _ in 0..128 {
        let gate = gates.recv().await.unwrap();
        for piece in [&head[..], b"9\r\ndata: 1\n\n\r\n", b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"] {
            gate.send(piece.to_vec()).unwrap();
        }
    }
    until(&running, "2xx", 128).await;
    assert_eq!(running.get("/").await.0, 200);
    gates.recv().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_not_copied() {
    let (replica, trial) = (Replica::named("x").await, Replica::named("trial").await);
    let running = Running::of(vec![shadowed(100, vec![trial.endpoint()], everything(vec![replica.endpoint()]))]).await;
    let mut client = running.client().await;
    client.exchange("GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!(running.get("/later").await.0, 200);
    until(&running, "2xx", 1).await;
    assert!(trial.received()[0].head.starts_with("GET /later "), "{:?}", trial.received());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_may_be_one_of_the_backends() {
    let replica = Replica::named("x").await;
    let both = BackendConfig { name: "trial".to_owned(), ..backend("", 1, vec![replica.endpoint()]) };
    let route = RouteConfig { backends: vec![both], ..everything(vec![]) };
    let running = Running::of(vec![shadowed(100, vec![replica.endpoint()], route)]).await;
    assert_eq!(running.get("/").await.0, 200);
    until(&running, "2xx", 1).await;
    assert_eq!(replica.count(), 2);
    running.log(1).await;
    let requests = r#"skyfleet_gateway_requests_total{route="test/all",backend="trial",outcome="2xx"} 1"#;
    assert!(running.gateway.metrics().unwrap().contains(requests));
}
