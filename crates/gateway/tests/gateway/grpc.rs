//! gRPC end to end: HTTP/2 to replicas, and streams both ways.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use skyfleet_gateway::config::{RouteConfig, Timeouts};
use tokio::sync::{Barrier, Notify};
use tokio::time::timeout;

use crate::calls::{INFER, LONG, answered, call, client, echo, ended, good, http2, message, route, trailers};
use crate::running::Running;
use crate::service::{Handler, Service, Settings, fed, handler, text};

/// Answers once as many calls are there.
fn together(calls: usize) -> Handler {
    let barrier = Arc::new(Barrier::new(calls));
    handler(move |_, _| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            good(message("together"))
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_share_a_connection_as_far_as_the_replica_takes_them() {
    for (most_streams, calls, connections) in [(None, 40, 1), (Some(8), 40, 5), (Some(1), 3, 3)] {
        let service = Service::start(Settings { most_streams, ..http2() }, together(calls)).await;
        let running = Running::of(vec![route(vec![service.endpoint()])]).await;
        let client = client(&running).await;
        let all = (0..calls).map(|_| {
            let mut client = client.clone();
            async move { ended(answered(&mut client, call(text(message("x")))).await).await }
        });
        for (data, status, _) in timeout(LONG, futures::future::join_all(all)).await.expect("all at once") {
            assert_eq!((data, &*status), (message("together"), "0"));
        }
        assert_eq!(service.connections(), connections, "{most_streams:?}");
        running.until_idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_stream_at_once_and_a_call_is_passed_on_as_it_is() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    let service = Service::start(
        http2(),
        handler(move |_, request: Request<Incoming>| {
            let (head, mut body) = request.into_parts();
            seen.lock().unwrap().push(head);
            let (feed, answer) = fed();
            tokio::spawn(async move {
                while let Some(Ok(frame)) = body.frame().await {
                    feed.send(frame).unwrap();
                }
                feed.send(trailers("0")).unwrap();
            });
            std::future::ready(Response::new(answer))
        }),
    )
    .await;
    let running = Running::of(vec![route(vec![service.endpoint()])]).await;
    let mut client = client(&running).await;
    let (feed, body) = fed();
    let mut answer = answered(&mut client, call(body)).await;
    for number in 0..20 {
        // The next one is only sent when this one has come back.
        let sent = message(&format!("{number}"));
        feed.send(Frame::data(sent.clone())).unwrap();
        let frame = timeout(LONG, answer.body_mut().frame()).await.expect("it comes back").unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), sent);
    }
    drop(feed);
    assert_eq!(ended(answer).await.1, "0");
    let head = heads.lock().unwrap().remove(0);
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!((head.uri.path(), head.uri.authority().unwrap().as_str()), (INFER, "models.example.com"));
    assert_eq!((header("te"), header("grpc-timeout"), header("host")), (Some("trailers"), Some("30S"), None));
    assert!(header("traceparent").is_some() && header("x-forwarded-for").is_some());
    running.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_replicas_end_their_connections() {
    let ages = Arc::new(Notify::new());
    let service = Service::start(Settings { ages: ages.clone(), ..http2() }, echo()).await;
    let running = Running::of(vec![route(vec![service.endpoint()])]).await;
    let client = client(&running).await;
    let calls = (0..4).map(|_| {
        let (mut client, ages) = (client.clone(), ages.clone());
        async move {
            for number in 0..50 {
                if number % 5 == 0 {
                    ages.notify_waiters();
                }
                let (data, status, said) = ended(answered(&mut client, call(text(message("x")))).await).await;
                assert_eq!((data, &*status), (message("x"), "0"), "{number}: {said}");
            }
        }
    });
    timeout(LONG, futures::future::join_all(calls)).await.expect("they end");
    assert!(service.connections() > 5, "{}", service.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gives_up_ends_its_call_and_no_other_one() {
    let (open, ended_calls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (opens, ends) = (open.clone(), ended_calls.clone());
    let service = Service::start(
        http2(),
        handler(move |_, request: Request<Incoming>| {
            let (opens, ends) = (opens.clone(), ends.clone());
            async move {
                opens.fetch_add(1, Ordering::SeqCst);
                let (feed, body) = fed();
                tokio::spawn(async move {
                    let mut request = request.into_body();
                    // Ends with an error when the call is given up.
                    while let Some(Ok(frame)) = request.frame().await {
                        let _gone = feed.send(frame);
                    }
                    let _gone = feed.send(trailers("0"));
                    ends.fetch_add(1, Ordering::SeqCst);
                });
                Response::new(body)
            }
        }),
    )
    .await;
    let running = Running::of(vec![route(vec![service.endpoint()])]).await;
    let mut client = client(&running).await;
    let mut calls = Vec::new();
    for _ in 0..2 {
        let (feed, body) = fed();
        feed.send(Frame::data(message("x"))).unwrap();
        let mut answer = answered(&mut client, call(body)).await;
        answer.body_mut().frame().await.unwrap().unwrap();
        calls.push((feed, answer));
    }
    assert_eq!((open.load(Ordering::SeqCst), running.in_flight()), (2, 2));
    drop(calls.pop());
    let given_up = async {
        while ended_calls.load(Ordering::SeqCst) == 0 || running.in_flight() > 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LONG, given_up).await.expect("the replica sees it");
    let (feed, answer) = calls.pop().unwrap();
    feed.send(Frame::data(message("more"))).unwrap();
    drop(feed);
    let (data, status, _) = ended(answer).await;
    assert_eq!((data, &*status), (message("more"), "0"));
    assert_eq!(service.connections(), 1);
    running.until_idle().await;
}

/// Each side may be silent for as long as it likes while the other one is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_side_is_not_cut_off_while_the_other_one_sends() {
    let service = Service::start(
        http2(),
        handler(|_, request: Request<Incoming>| {
            let (feed, body) = fed();
            tokio::spawn(async move {
                let mut request = request.into_body();
                while let Some(Ok(_)) = request.frame().await {}
                for _ in 0..30 {
                    feed.send(Frame::data(message("down"))).unwrap();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                feed.send(trailers("0")).unwrap();
            });
            std::future::ready(Response::new(body))
        }),
    )
    .await;
    let timeouts = Timeouts { idle: Duration::from_secs(2), ..Timeouts::default() };
    let running = Running::of(vec![RouteConfig { timeouts, ..route(vec![service.endpoint()]) }]).await;
    let mut client = client(&running).await;
    let (feed, body) = fed();
    let answer = answered(&mut client, call(body)).await;
    for _ in 0..30 {
        feed.send(Frame::data(message("up"))).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(feed);
    let (data, status, _) = ended(answer).await;
    assert_eq!((data.len(), &*status), (30 * message("down").len(), "0"));
}

/// All of them may share a connection to the replica.
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stand_still_keep_no_other_one_waiting() {
    let large = message(&"x".repeat(1 << 20));
    let service = Service::start(
        http2(),
        handler(move |_, request: Request<Incoming>| {
            let large = large.clone();
            async move {
                let asked = request.into_body().collect().await.unwrap().to_bytes();
                good(if asked == message("large") { large } else { asked })
            }
        }),
    )
    .await;
    let running = Running::of(vec![route(vec![service.endpoint()])]).await;
    let mut still = client(&running).await;
    let mut unread = Vec::new();
    for _ in 0..40 {
        unread.push(answered(&mut still, call(text(message("large")))).await);
    }
    // One of them at least is with the same worker.
    for _ in 0..6 {
        let mut other = client(&running).await;
        assert_eq!(ended(answered(&mut other, call(text(message("x")))).await).await.0, message("x"));
    }
    assert!(service.connections() <= 2, "each worker has one: {}", service.connections());
    assert!(running.in_flight() > 20, "most have not ended: {}", running.in_flight());
}
