//! Bodies and headers: what arrives is what was sent.

use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use skyfleet_gateway::config::{Protocol, RouteConfig, Timeouts};

use crate::replica::{Replica, Reply, ok};
use crate::running::{Running, everything, of_models};
use crate::service::{Service, Settings, handler, text};

#[tokio::test(flavor = "multi_thread")]
async fn chunks_and_trailers_go_both_ways() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n";
    let replica = Replica::start(move |_| Reply::Raw(answer.into())).await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let request = "POST / HTTP/1.1\r\nhost: h\r\nte: trailers\r\ntransfer-encoding: chunked\r\ntrailer: x-mine\r\n\r\n\
                   4\r\nwxyz\r\n0\r\nx-mine: 1\r\n\r\n";
    let got = running.client().await.exchange(request).await;
    assert_eq!((got.status, &*got.body, &*got.trailers), (200, "abcde", "x-sum: 5\n"));
    let received = &replica.received()[0];
    assert_eq!(received.header("transfer-encoding"), Some("chunked"));
    assert_eq!(String::from_utf8_lossy(&received.body), "4\r\nwxyz\r\n0\r\nx-mine: 1\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_goes_on_as_it_comes_and_too_large_a_one_does_not() {
    let replica = Replica::start(|received| ok(&received.body.len().to_string())).await;
    let route = RouteConfig { request_bytes: 1 << 20, ..everything(vec![replica.endpoint()]) };
    let running = Running::of(vec![route]).await;
    assert_eq!(running.post("/", &"x".repeat(1 << 20)).await, (200, (1 << 20).to_string()));
    let (status, body) = running.post("/", &"x".repeat((1 << 20) + 1)).await;
    assert!(status == 413 && body.contains("request_too_large"), "{status} {body}");
    // Its length is not told before.
    let mut client = running.client().await;
    client.send(b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(65536));
    for _ in 0..20 {
        client.send(chunk.as_bytes()).await;
    }
    let answer = client.answer(false).await;
    assert!(answer.status == 413 && answer.body.contains("request_too_large"), "{answer:?}");
    running.until_idle().await;
    assert_eq!(replica.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stands_still_is_given_up() {
    let replica = Replica::named("x").await;
    let timeouts = Timeouts { idle: Duration::from_millis(200), ..Timeouts::default() };
    for route in [everything(vec![replica.endpoint()]), of_models(&["m"], vec![replica.endpoint()])] {
        let running = Running::of(vec![RouteConfig { timeouts, ..route }]).await;
        let mut client = running.client().await;
        client.send(b"POST /v1/x HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\n\r\n{").await;
        let answer = client.answer(false).await;
        assert!(answer.status == 400 && answer.body.contains("nothing came for 200ms"), "{answer:?}");
        running.until_idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_expects_is_between_it_and_the_gateway() {
    let replica = Replica::named("x").await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let mut client = running.client().await;
    client.send(b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 100 "));
    client.send(b"abc").await;
    assert_eq!(client.answer(false).await.status, 200);
    let received = &replica.received()[0];
    assert_eq!((received.header("expect"), &*received.body), (None, &b"abc"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_learns_for_whom_it_works_and_no_secret_of_the_way() {
    let replica = Replica::named("x").await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = format!(
        "GET /a%20b/../c?q=1&secret=2 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer k\r\nX-Forwarded-For: 10.1.1.1\r\n\
         Forwarded: for=1.2.3.4\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nProxy-Authorization: p\r\nKeep-Alive: 5\r\n\
         traceparent: {trace}\r\n\r\n"
    );
    running.client().await.exchange(&request).await;
    let received = &replica.received()[0];
    assert!(received.head.starts_with("GET /a%20b/../c?q=1&secret=2 HTTP/1.1\r\n"), "{}", received.head);
    for (name, value) in [
        ("host", Some("h")),
        ("authorization", Some("Bearer k")),
        ("x-forwarded-for", Some("10.1.1.1, 127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("h")),
        ("forwarded", None),
        ("x-hop", None),
        ("proxy-authorization", None),
        ("keep-alive", None),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
    let passed = received.header("traceparent").unwrap();
    assert!(passed.starts_with(&trace[..36]) && passed != trace && passed.ends_with("-01"), "{passed}");
    let line = &running.log(1).await[0];
    assert_eq!((&line["path"], &line["trace_id"]), (&"/a%20b/../c".into(), &trace[3..35].into()));
    assert!(!line.to_string().contains("secret"));
}

/// As an Ingress and whoever else serves several names at an address needs it.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_with_a_name_is_asked_for_it() {
    let told = || {
        handler(|_, request: Request<Incoming>| {
            let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            let host = header("host").or_else(|| request.uri().authority().map(ToString::to_string));
            let said = format!("{} for {}", host.unwrap(), header("x-forwarded-host").unwrap());
            std::future::ready(Response::new(text(said)))
        })
    };
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let settings = Settings { is_http2: protocol == Protocol::Http2, ..Settings::default() };
        let service = Service::start(settings, told()).await;
        let mut named = service.endpoint();
        named.endpoint.host = "localhost".to_owned();
        for (endpoint, host) in [(named, format!("localhost:{}", service.port)), (service.endpoint(), "h".to_owned())] {
            let running = Running::of(vec![RouteConfig { protocol, ..everything(vec![endpoint]) }]).await;
            assert_eq!(running.get("/").await, (200, format!("{host} for h")), "{protocol:?}");
        }
    }
}
