//! What HTTP allows, and what those send who mean no good: each with its outcome.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::client::Client;
use crate::port;
use crate::replica::{Replica, Reply, ok};
use crate::running::{Running, everything};

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_none_are_refused_and_reach_nobody() {
    let replica = Replica::named("x").await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let long = "x".repeat(100_000);
    for (what, request, status) in [
        (
            "two lengths",
            "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd".to_owned(),
            400,
        ),
        ("a list of lengths", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3, 4\r\n\r\nabcd".to_owned(), 400),
        ("a length with a sign", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: +3\r\n\r\nabc".to_owned(), 400),
        ("an unknown coding", "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked, cow\r\n\r\n".to_owned(), 400),
        (
            "a hidden coding",
            "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned(),
            400,
        ),
        ("chunks of 1.0", "POST / HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400),
        ("space before the colon", "GET / HTTP/1.1\r\nhost : h\r\n\r\n".to_owned(), 400),
        ("a folded line", "GET / HTTP/1.1\r\nhost: h\r\nx: a\r\n b\r\n\r\n".to_owned(), 400),
        ("a NUL", "GET / HTTP/1.1\r\nhost: h\r\nx: a\0b\r\n\r\n".to_owned(), 400),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("two hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_owned(), 400),
        ("a host that is none", "GET / HTTP/1.1\r\nhost: a/b@c\r\n\r\n".to_owned(), 400),
        ("another protocol", "GET / HTTP/3.7\r\nhost: h\r\n\r\n".to_owned(), 400),
        ("a huge header", format!("GET / HTTP/1.1\r\nhost: h\r\nx: {long}\r\n\r\n"), 431),
        ("many headers", format!("GET / HTTP/1.1\r\nhost: h\r\n{}\r\n", "x: 1\r\n".repeat(300)), 431),
        ("a huge target", format!("GET /{long} HTTP/1.1\r\nhost: h\r\n\r\n"), 431),
        ("a tunnel", "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n".to_owned(), 501),
    ] {
        let mut client = running.client().await;
        client.send(request.as_bytes()).await;
        let answer = client.answer(false).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.head);
    }
    assert_eq!(replica.count(), 0);
}

/// Both a length and chunks: the chunks count, the length goes, and what follows is not looked at (RFC 9112, section 6.3).
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_smuggled_past_a_length() {
    let replica = Replica::start(|received| ok(received.head.lines().next().unwrap())).await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let mut client = running.client().await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: h\r\n\r\n";
    let body = format!("0\r\n\r\n{hidden}");
    let request = format!(
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n{body}",
        body.len()
    );
    client.send(request.as_bytes()).await;
    assert_eq!(client.answer(false).await.body, "POST / HTTP/1.1");
    assert_eq!(client.rest().await, b"", "and the connection is closed");
    let received = replica.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].header("content-length"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_no_body_and_keeps_its_length() {
    let replica = Replica::start(|received| {
        let body = if received.head.starts_with("HEAD") { "" } else { "1234567" };
        Reply::Raw(format!("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{body}").into_bytes())
    })
    .await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let mut client = running.client().await;
    for _ in 0..2 {
        let head = client.exchange("HEAD / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert!(head.status == 200 && head.head.to_lowercase().contains("content-length: 7"), "{head:?}");
        assert_eq!(client.exchange("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.body, "1234567");
    }
    assert!(replica.received().iter().all(|received| received.connection == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_are_not_the_answer() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let replica = Replica::start(move |_| Reply::Raw(early.into())).await;
    let running = Running::with(vec![replica.endpoint()]).await;
    assert_eq!(running.get("/").await, (200, "ok".to_owned()));
    // Who waits to be told to go on, is.
    let mut client = running.client().await;
    client.send(b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 100"));
    client.send(b"abc").await;
    assert_eq!(client.answer(false).await.body, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_pipelines_and_absolute_targets_are_served() {
    let replica = Replica::start(|received| ok(received.head.split(' ').nth(1).unwrap())).await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let mut old = running.client().await;
    old.send(b"GET /old HTTP/1.0\r\nhost: h\r\n\r\n").await;
    let answer = String::from_utf8(old.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("/old"), "{answer}");

    let mut client = running.client().await;
    client.send("GET /1 HTTP/1.1\r\nhost: h\r\n\r\nGET /2 HTTP/1.1\r\nhost: h\r\n\r\n".as_bytes()).await;
    assert_eq!([client.answer(false).await.body, client.answer(false).await.body], ["/1", "/2"]);
    let absolute = client.exchange("GET http://other/3?x HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(absolute.body, "/3?x");
    assert_eq!(replica.received()[3].header("host"), Some("other"));
}

/// As with NGINX: that a client sends no more cannot be told from that it has gone, and an answer that nobody waits for is dear.
#[tokio::test(flavor = "multi_thread")]
async fn who_closes_its_side_has_gone() {
    let (closed, is_closed) = oneshot::channel();
    let mut closed = Some(closed);
    let replica = Replica::start(move |_| Reply::Silent(closed.take().unwrap())).await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let mut client = running.client().await;
    client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    while replica.count() == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    client.half_close().await;
    assert_eq!(client.rest().await, b"");
    is_closed.await.unwrap();
    running.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_slowly_is_given_up_and_keeps_nobody_waiting() {
    let replica = Replica::named("x").await;
    let address = port::reserve();
    let running = Running::at(address, vec![everything(vec![replica.endpoint()])], Duration::from_millis(300));
    running.answers().await;
    let mut slow = Vec::new();
    for beginning in ["GET / HTTP/1.1\r\nhost: ", "", "G", "P", "PRI * HTTP/2.0\r\n"] {
        for _ in 0..50 {
            let mut client = Client::connect(address).await;
            client.send(beginning.as_bytes()).await;
            slow.push(client);
        }
    }
    assert_eq!(running.get("/").await.0, 200);
    for mut client in slow {
        let said = String::from_utf8(client.rest().await).unwrap();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    }
    assert_eq!(replica.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_are_a_bad_gateway() {
    for raw in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        "HTTP/1.1 two hundred\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "",
    ] {
        let replica = Replica::start(move |_| Reply::Last(raw.into())).await;
        let running = Running::with(vec![replica.endpoint()]).await;
        let (status, body) = running.get("/").await;
        assert_eq!(status, 502, "{raw:?}: {body}");
        running.until_idle().await;
    }
}
