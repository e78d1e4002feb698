//! Streams: each piece goes on when it comes, and ends are seen on both sides.

use std::time::Duration;

use skyfleet_gateway::config::{Retries, RouteConfig, Timeouts};
use tokio::sync::{mpsc, oneshot};

use crate::replica::{Replica, Reply, ok};
use crate::running::{Running, everything};

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";

fn event(text: &str) -> Vec<u8> {
    let event = format!("data: {text}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

/// A replica that sends what the test feeds it, to its first request.
async fn fed() -> (Replica, mpsc::UnboundedSender<Vec<u8>>) {
    let (sender, pieces) = mpsc::unbounded_channel();
    let mut pieces = Some(pieces);
    (Replica::start(move |_| pieces.take().map_or_else(|| ok("later"), Reply::Fed)).await, sender)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_goes_on_when_it_comes() {
    let (replica, feed) = fed().await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let mut client = running.client().await;
    client.send(GET).await;
    feed.send(EVENTS.into()).unwrap();
    for number in 0..20 {
        // The next one is only sent when this one is there.
        feed.send(event(&number.to_string())).unwrap();
        if number == 0 {
            assert!(client.head().await.contains("text/event-stream"));
        }
        assert_eq!(client.chunk().await.unwrap(), format!("data: {number}\n\n").into_bytes());
        assert_eq!(running.in_flight(), 1);
    }
    feed.send(b"0\r\n\r\n".to_vec()).unwrap();
    assert_eq!(client.chunk().await, None);
    running.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_it_at_the_replica() {
    for is_answered in [false, true] {
        let (closed, is_closed) = oneshot::channel();
        let mut closed = Some(closed);
        let (feed, pieces) = mpsc::unbounded_channel();
        let mut pieces = Some(pieces);
        let replica = Replica::start(move |_| {
            if is_answered { Reply::Fed(pieces.take().unwrap()) } else { Reply::Silent(closed.take().unwrap()) }
        })
        .await;
        let running = Running::with(vec![replica.endpoint()]).await;
        let mut client = running.client().await;
        client.send(GET).await;
        if is_answered {
            feed.send(EVENTS.into()).unwrap();
            feed.send(event("1")).unwrap();
            client.head().await;
            client.chunk().await.unwrap();
            drop(client);
            // What nobody takes any more cannot be sent in the end.
            while feed.send(event("more")).is_ok() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        } else {
            while replica.count() == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            drop(client);
            is_closed.await.unwrap();
        }
        running.until_idle().await;
        let status = running.gateway.status();
        assert_eq!(status[0].backends[0].endpoints[0].condition, "Serving", "it is nobody's fault");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_begins_with_an_error_goes_to_another_replica() {
    let error = || {
        let all = [EVENTS.as_bytes(), &event(r#"{"error": {"message": "out of memory"}}"#), b"0\r\n\r\n"].concat();
        Reply::Raw(all)
    };
    let bad = Replica::start(move |_| error()).await;
    let good = Replica::start(|_| Reply::Raw([EVENTS.as_bytes(), &event("fine"), b"0\r\n\r\n"].concat())).await;
    let running = Running::with(vec![bad.endpoint(), good.endpoint()]).await;
    for _ in 0..6 {
        assert_eq!(running.get("/").await, (200, "data: fine\n\n".to_owned()));
    }
    assert!(bad.count() > 0);
    // Where no other is, or it is not wanted, the client sees it.
    let retries = Retries { on_first_frame_error: false, ..Retries::default() };
    for route in [everything(vec![bad.endpoint()]), RouteConfig { retries, ..everything(vec![bad.endpoint()]) }] {
        let (status, body) = Running::of(vec![route]).await.get("/").await;
        assert!(status == 200 && body.contains("out of memory"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_is_no_whole_answer() {
    let timeouts = Timeouts { idle: Duration::from_millis(300), ..Timeouts::default() };
    for breaks in [true, false] {
        let (replica, feed) = fed().await;
        let running = Running::of(vec![RouteConfig { timeouts, ..everything(vec![replica.endpoint()]) }]).await;
        let mut client = running.client().await;
        client.send(GET).await;
        feed.send([EVENTS.as_bytes(), &event("1")].concat()).unwrap();
        client.head().await;
        client.chunk().await.unwrap();
        let feed = if breaks {
            drop(feed);
            None
        } else {
            Some(feed)
        };
        assert_eq!(client.rest().await, b"", "neither more nor an end that is none");
        drop(feed);
        running.until_idle().await;
        let line = &running.log(1).await[0];
        assert!(line["error"].as_str().unwrap().contains("broke off") && line["status"] == 200, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_becomes_another_protocols() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\nhello";
    let replica = Replica::start(move |_| Reply::Echo(switch.into())).await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let mut client = running.client().await;
    client
        .send(
            b"GET /ws HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n",
        )
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("sec-websocket-accept: x"), "{head}");
    assert_eq!(client.take(5).await, b"hello");
    for text in ["one", "two"] {
        client.send(text.as_bytes()).await;
        assert_eq!(client.take(3).await, text.as_bytes());
    }
    assert_eq!(running.in_flight(), 1);
    let received = &replica.received()[0];
    assert_eq!((received.header("upgrade"), received.header("sec-websocket-key")), (Some("websocket"), Some("k")));
    drop(client);
    running.until_idle().await;
}
