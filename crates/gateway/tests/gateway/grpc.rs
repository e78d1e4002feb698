//! gRPC end to end: HTTP/2 to replicas, streams both ways, and failures as gRPC tells them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use skyfleet_gateway::config::{Config, Ejection, EndpointConfig, Protocol, RateLimits, Rates, RouteConfig, Timeouts};
use tokio::net::TcpStream;
use tokio::sync::{Barrier, Notify};
use tokio::time::timeout;

use crate::replica::{Replica, at};
use crate::running::{Running, everything, of_models};
use crate::service::{Body, Handler, Service, Settings, empty, fed, handler, text};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const LONG: Duration = Duration::from_secs(30);

async fn client(running: &Running) -> SendRequest<Body> {
    let stream = TcpStream::connect(running.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn call(body: Body) -> Request<Body> {
    Request::post(format!("http://models.example.com{INFER}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "30S")
        .body(body)
        .unwrap()
}

/// A message as gRPC frames it.
fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat().into()
}

fn trailers(status: &str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    Frame::trailers(trailers)
}

/// What a call ended with: the answer's data, and the status from its trailers or its headers.
async fn ended(answer: Response<Incoming>) -> (Bytes, String, String) {
    let (head, body) = answer.into_parts();
    assert_eq!(head.status, 200);
    let all = timeout(LONG, body.collect()).await.expect("it ends").unwrap();
    let trailers = all.trailers().cloned().unwrap_or(head.headers);
    let value = |name: &str| trailers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    (all.to_bytes(), value("grpc-status"), value("grpc-message"))
}

async fn answered(client: &mut SendRequest<Body>, request: Request<Body>) -> Response<Incoming> {
    timeout(LONG, client.send_request(request)).await.expect("an answer").unwrap()
}

fn good(data: Bytes) -> Response<Body> {
    let (feed, body) = fed();
    feed.send(Frame::data(data)).unwrap();
    feed.send(trailers("0")).unwrap();
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

/// An answer that is nothing but its failure.
fn failed(status: &str) -> Response<Body> {
    let head = Response::builder().header("content-type", "application/grpc").header("grpc-status", status);
    head.body(empty()).unwrap()
}

fn echo() -> Handler {
    handler(|_, request| async { good(request.into_body().collect().await.unwrap().to_bytes()) })
}

fn http2() -> Settings {
    Settings { is_http2: true, ..Settings::default() }
}

fn route(endpoints: Vec<EndpointConfig>) -> RouteConfig {
    RouteConfig { protocol: Protocol::Http2, ..everything(endpoints) }
}

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
