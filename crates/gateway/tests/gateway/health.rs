//! Replicas are asked whether they are well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use skyfleet_gateway::config::{Config, EndpointConfig, HealthConfig, Protocol, RouteConfig, ShadowConfig};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::calls::{failed, good};
use crate::port;
use crate::replica::{Replica, Reply, at, ok, with_status};
use crate::running::{Running, backend, everything};
use crate::service::{Service, Settings, handler};

/// Longer than any answer takes here.
const LONG: Duration = Duration::from_secs(20);

fn checked(timeout: Duration, endpoints: Vec<EndpointConfig>) -> RouteConfig {
    let path = "/health?deep=1".to_owned();
    let health =
        Some(HealthConfig { path: Some(path), interval: Duration::from_millis(10), timeout, rise: 2, fall: 3 });
    RouteConfig { health, ..everything(endpoints) }
}

/// A gateway that checks until the guard is dropped.
async fn checking(route: RouteConfig) -> (Running, tokio_util::sync::DropGuard) {
    let running = Running::of(vec![route]).await;
    let (gateway, stop) = (running.gateway.clone(), CancellationToken::new());
    let ends = stop.clone();
    tokio::spawn(async move { gateway.check_health(&ends).await });
    (running, stop.drop_guard())
}

/// A replica that is well as long as the switch is on. It answers other requests in any case.
async fn switched(name: &'static str) -> (Replica, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let is_well = well.clone();
    let replica = Replica::start(move |received| {
        if !received.head.starts_with("GET /health?deep=1 HTTP/1.1\r\n") {
            return ok(name);
        }
        if is_well.load(Ordering::SeqCst) { ok("") } else { with_status("503 Service Unavailable", "") }
    });
    (replica.await, well)
}

async fn until(running: &Running, endpoint: &EndpointConfig, condition: &str) {
    let is_so = || {
        let status = running.gateway.status();
        let shadow = status[0].shadow.iter().map(|shadow| &shadow.backend);
        let all = status[0].backends.iter().chain(shadow).flat_map(|backend| &backend.endpoints);
        let mut own = all.filter(|one| one.name == endpoint.endpoint.name);
        own.any(|one| one.condition == condition)
    };
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn checks(replica: &Replica) -> usize {
    replica.received().iter().filter(|received| received.head.starts_with("GET /health")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_well_gets_nothing_until_it_is() {
    let ((one, well), (other, _)) = (switched("one").await, switched("other").await);
    let (running, _stop) = checking(checked(LONG, vec![one.endpoint(), other.endpoint()])).await;
    while checks(&one) < 2 || checks(&other) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let host = format!("127.0.0.1:{}", one.port);
    assert_eq!(one.received()[0].header("host"), Some(&*host));
    well.store(false, Ordering::SeqCst);
    until(&running, &one.endpoint(), "Down").await;
    for _ in 0..10 {
        assert_eq!(running.get("/").await, (200, "other".to_owned()));
    }
    let labels = r#"route="test/all",backend="all",member_cluster="aws-1""#;
    let text = running.gateway.metrics().unwrap();
    assert!(text.contains(&format!("skyfleet_gateway_health_checks_total{{{labels},outcome=\"passed\"}} ")), "{text}");
    assert!(
        !text.contains(&format!("skyfleet_gateway_health_checks_total{{{labels},outcome=\"failed\"}} 0")),
        "{text}"
    );
    assert!(text.contains(&format!("skyfleet_gateway_endpoints{{{labels},condition=\"Down\"}} 1")), "{text}");
    well.store(true, Ordering::SeqCst);
    until(&running, &one.endpoint(), "Serving").await;
    let answers = [running.get("/").await.1, running.get("/").await.1];
    assert!(answers.contains(&"one".to_owned()), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_and_no_answer_in_time_are_not_well_either() {
    let hanging = |received: &crate::replica::Received| {
        if received.head.starts_with("GET /health") { Reply::Silent(oneshot::channel().0) } else { ok("hanging") }
    };
    let hanging = Replica::start(hanging).await;
    let nobody = at(port::reserve().port());
    let route = checked(Duration::from_millis(50), vec![hanging.endpoint(), nobody.clone()]);
    let (running, _stop) = checking(route).await;
    until(&running, &hanging.endpoint(), "Down").await;
    until(&running, &nobody, "Down").await;
    // That all checks are wrong is likelier than that all replicas are.
    assert_eq!(running.get("/").await, (200, "hanging".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_grpc_are_asked_by_the_call_that_is_for_it() {
    let (well, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (is_well, was_asked) = (well.clone(), asked.clone());
    let answer = handler(move |_, request| {
        let is_check = request.method() == "POST" && request.uri().path() == "/grpc.health.v1.Health/Check";
        was_asked.fetch_or(is_check, Ordering::SeqCst);
        let status = 2 - u8::from(is_well.load(Ordering::SeqCst));
        async move { if is_check { good(Bytes::from(vec![0, 0, 0, 0, 2, 8, status])) } else { failed("12") } }
    });
    let http2 = Settings { is_http2: true, ..Settings::default() };
    let replica = Service::start(http2.clone(), answer).await;
    // One that does not know the call is not well, and neither is one that speaks another protocol.
    let other = Service::start(http2, handler(|_, _| async { failed("12") })).await;
    let http1 = Replica::named("http1").await;
    let all = vec![replica.endpoint(), other.endpoint(), http1.endpoint()];
    let mut route = RouteConfig { protocol: Protocol::Http2, ..checked(LONG, all) };
    route.health.as_mut().unwrap().path = None;
    let (running, _stop) = checking(route).await;
    until(&running, &other.endpoint(), "Down").await;
    until(&running, &http1.endpoint(), "Down").await;
    while !asked.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    until(&running, &replica.endpoint(), "Serving").await;
    well.store(false, Ordering::SeqCst);
    until(&running, &replica.endpoint(), "Down").await;
    well.store(true, Ordering::SeqCst);
    until(&running, &replica.endpoint(), "Serving").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_followed_and_so_is_the_route() {
    let ((old, old_well), (new, new_well)) = (switched("old").await, switched("new").await);
    old_well.store(false, Ordering::SeqCst);
    new_well.store(false, Ordering::SeqCst);
    let (running, _stop) = checking(checked(LONG, vec![old.endpoint()])).await;
    until(&running, &old.endpoint(), "Down").await;
    let shadow = Some(ShadowConfig { backend: backend("trial", 1, vec![new.endpoint()]), percent: 1 });
    let route = RouteConfig { shadow, ..checked(LONG, vec![]) };
    running.gateway.configure(Config { routes: vec![route] });
    until(&running, &new.endpoint(), "Down").await;
    // One may have been under way.
    let before = checks(&old) + 1;
    let later = checks(&new) + 5;
    while checks(&new) < later {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(checks(&old) <= before, "who has left is left alone");
    assert!(!running.gateway.metrics().unwrap().contains(r#"health_checks_total{route="test/all",backend="all""#));
    // Where nobody checks, nobody is down.
    running.gateway.configure(Config { routes: vec![everything(vec![old.endpoint(), new.endpoint()])] });
    until(&running, &new.endpoint(), "Serving").await;
    assert!(!running.gateway.metrics().unwrap().contains("condition=\"Down\""));
}
