//! Calls of gRPC that fail: as gRPC tells it, and sent again where that is right.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use skyfleet_gateway::config::{Config, Ejection, RateLimits, Rates, RouteConfig, Timeouts};

use crate::calls::{INFER, answered, call, client, echo, ended, failed, good, http2, message, route, trailers};
use crate::replica::{Replica, at};
use crate::running::{Running, everything, of_models};
use crate::service::{Body, Service, empty, fed, handler, text};

/// By h2 itself, which lets a server refuse a stream.
async fn refuses_first() -> (u16, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    tokio::spawn(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let is_first = count.load(Ordering::SeqCst) == 0;
            let count = count.clone();
            open.spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    if is_first {
                        count.fetch_add(1, Ordering::SeqCst);
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    } else {
                        let head = Response::builder().header("grpc-status", "0").body(()).unwrap();
                        respond.send_response(head, true).unwrap();
                    }
                }
            });
        }
    });
    (port, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_has_not_looked_at_is_sent_once_more() {
    let (port, refused) = refuses_first().await;
    let running = Running::of(vec![route(vec![at(port)])]).await;
    let mut client = client(&running).await;
    let (feed, body) = fed();
    feed.send(Frame::data(message("x"))).unwrap();
    assert_eq!(ended(answered(&mut client, call(body)).await).await.1, "0", "although nobody knows where it ends");
    drop(feed);
    assert_eq!(refused.load(Ordering::SeqCst), 1);
    let line = &running.log(1).await[0];
    assert_eq!(line["attempts"], 1, "it is no fault of the replica: {line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_unavailable_is_passed_over_and_the_call_sent_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let bad = handler(move |_, mut request: Request<Incoming>| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            // A part of it is gone when it says so.
            let _first = request.body_mut().frame().await;
            failed("14")
        }
    });
    let (bad, good) = (Service::start(http2(), bad).await, Service::start(http2(), echo()).await);
    let running = Running::of(vec![route(vec![bad.endpoint(), good.endpoint()])]).await;
    let mut client = client(&running).await;
    for number in 0..6 {
        let (feed, body) = fed();
        feed.send(Frame::data(message("first"))).unwrap();
        if number % 2 == 0 {
            drop(feed);
        } else {
            // What comes later comes after what was sent before.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                feed.send(Frame::data(message("second"))).unwrap();
            });
        }
        let (data, status, said) = ended(answered(&mut client, call(body)).await).await;
        assert_eq!(status, "0", "{said}");
        let second = if number % 2 == 0 { Bytes::new() } else { message("second") };
        assert_eq!(data, [message("first"), second].concat());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    running.until_idle().await;
    // Where nobody else is, it is told as the replica has told it.
    running.gateway.configure(Config { routes: vec![route(vec![bad.endpoint()])] });
    assert_eq!(ended(answered(&mut client, call(text(message("x")))).await).await.1, "14");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_calls_fail_is_left_out() {
    let bad = handler(|_, _| async {
        let (feed, body) = fed();
        feed.send(Frame::data(message("begun"))).unwrap();
        feed.send(trailers("13")).unwrap();
        Response::new(body)
    });
    let (bad, good) = (Service::start(http2(), bad).await, Service::start(http2(), echo()).await);
    let ejection = Ejection { consecutive_errors: 3, base: Duration::from_mins(10), most_percent: 50 };
    let running = Running::of(vec![RouteConfig { ejection, ..route(vec![bad.endpoint(), good.endpoint()]) }]).await;
    let mut client = client(&running).await;
    let mut statuses = HashMap::<String, u32>::new();
    for _ in 0..20 {
        let (_, status, _) = ended(answered(&mut client, call(text(message("x")))).await).await;
        *statuses.entry(status).or_default() += 1;
    }
    assert_eq!(statuses, HashMap::from([("13".to_owned(), 3), ("0".to_owned(), 17)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_call_went_is_logged_and_failures_are_counted() {
    let asked = Arc::new(AtomicUsize::new(0));
    let replica = handler(move |_, _| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            match number {
                0 => good(message("x")),
                1 => failed("7"),
                2 => failed("42"),
                _ => {
                    let (feed, body) = fed();
                    feed.send(Frame::data(message("begun"))).unwrap();
                    feed.send(trailers("5")).unwrap();
                    Response::new(body)
                }
            }
        }
    });
    let replica = Service::start(http2(), replica).await;
    let running = Running::of(vec![route(vec![replica.endpoint()])]).await;
    let mut client = client(&running).await;
    for status in ["0", "7", "42", "5", "5"] {
        assert_eq!(ended(answered(&mut client, call(text(message("x")))).await).await.1, status);
    }
    let lines = running.log(5).await;
    let logged = lines.iter().map(|line| (line["status"].as_u64().unwrap(), line["grpc_status"].as_u64().unwrap()));
    let mut logged: Vec<_> = logged.collect();
    logged.sort_unstable();
    assert_eq!(logged, [(200, 0), (200, 5), (200, 5), (200, 7), (200, 42)]);
    let measured = running.gateway.metrics().unwrap();
    let failures = measured.lines().filter(|line| line.starts_with("skyfleet_gateway_grpc_failures_total"));
    let mut failures: Vec<_> = failures.map(|line| line.split_once("code=").unwrap().1).collect();
    failures.sort_unstable();
    assert_eq!(failures, [r#""NOT_FOUND"} 2"#, r#""PERMISSION_DENIED"} 1"#, r#""other"} 1"#]);
    assert!(measured.contains(r#"outcome="2xx"} 5"#), "{measured}");

    // What the gateway itself refuses is among its refusals.
    running.gateway.configure(Config::default());
    assert_eq!(ended(answered(&mut client, call(text(message("x")))).await).await.1, "12");
    let line = &running.log(6).await[5];
    assert_eq!((&line["status"], &line["grpc_status"]), (&404.into(), &12.into()));
    assert!(!running.gateway.metrics().unwrap().contains("code=\"NOT_FOUND\""), "it goes with its route");
    running.get("/").await;
    assert!(running.log(7).await[6].get("grpc_status").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_refuses_is_refused_as_grpc_has_it() {
    let silent = Service::start(http2(), handler(|_, _| std::future::pending::<Response<Body>>())).await;
    let (http1, replica) = (Replica::named("x").await, Service::start(http2(), echo()).await);
    let once = Rates { requests_per_minute: Some(1), ..Rates::default() };
    let limits = RateLimits { total: Some(once), ..RateLimits::default() };
    let timeouts = Timeouts { first_byte: Duration::from_millis(200), ..Timeouts::default() };
    let running = Running::of(vec![everything(vec![])]).await;
    let mut client = client(&running).await;
    for (routes, calls, status, said) in [
        (vec![], 1, "12", "no ModelRoute takes host"),
        (vec![of_models(&["m"], vec![])], 1, "3", "must be JSON"),
        (vec![route(vec![])], 1, "14", "no replica is ready"),
        (vec![RouteConfig { timeouts, ..route(vec![silent.endpoint()]) }], 1, "4", "no answer after"),
        (vec![RouteConfig { limits, ..route(vec![replica.endpoint()]) }], 2, "8", "all clients together"),
        (vec![route(vec![http1.endpoint()])], 1, "14", "it does not speak HTTP/2"),
    ] {
        running.gateway.configure(Config { routes });
        let mut last = (Bytes::new(), String::new(), String::new());
        for _ in 0..calls {
            let answer = answered(&mut client, call(text(message("x")))).await;
            assert_eq!(answer.headers()["content-type"], "application/grpc");
            last = ended(answer).await;
        }
        assert!(last.1 == status && last.2.contains(said), "{last:?} is not {status} {said}");
        assert!(last.0.is_empty());
    }
    // Others get what they understand.
    let plain = Request::get("http://h/").body(empty()).unwrap();
    assert_eq!(answered(&mut client, plain).await.status(), 502);
    let calls = http1.received().iter().filter(|received| received.head.contains(INFER)).count();
    assert_eq!(calls, 0, "nothing but the beginning of HTTP/2 is sent to who does not speak it");
}
