//! A gateway takes over from another one, and no request fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::client::Client;
use crate::port;
use crate::replica::{Replica, Reply, at};
use crate::running::{Running, everything};
use tokio::sync::mpsc;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_one_gateway_takes_over_from_another() {
    let replica = Replica::named("x").await;
    let port = replica.port;
    let address = port::reserve();
    let start = move || Running::at(address, vec![everything(vec![at(port)])], LONG);
    let mut running = start();
    running.answers().await;
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let done = done.clone();
            tokio::spawn(async move {
                let mut client = None;
                while !done.load(Ordering::SeqCst) {
                    let mut open = match client.take() {
                        Some(open) => open,
                        None => Client::connect(address).await,
                    };
                    let answer = open.exchange("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    // Half of them keep their connection as long as they may.
                    let is_kept = number % 2 == 0 && !answer.head.to_lowercase().contains("connection: close");
                    client = is_kept.then_some(open);
                }
            })
        })
        .collect();
    for _ in 0..5 {
        let next = start();
        let answers = async {
            while next.gateway.status()[0].backends[0].endpoints[0].answered < 20 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, answers).await.expect("the new one has its share");
        std::mem::replace(&mut running, next).ended().await;
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_under_way_is_sent_to_its_end() {
    let (feed, pieces) = mpsc::unbounded_channel();
    let mut pieces = Some(pieces);
    let replica = Replica::start(move |_| Reply::Fed(pieces.take().unwrap())).await;
    let running = Running::with(vec![replica.endpoint()]).await;
    let mut client = running.client().await;
    client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    feed.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n".to_vec()).unwrap();
    client.head().await;
    assert_eq!(client.chunk().await.unwrap(), b"a");
    let address = running.address;
    let ends = tokio::spawn(running.ended());
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!ends.is_finished(), "it waits for the stream");
    feed.send(b"1\r\nb\r\n0\r\n\r\n".to_vec()).unwrap();
    assert_eq!((client.chunk().await.unwrap(), client.chunk().await), (b"b".to_vec(), None));
    assert_eq!(client.rest().await, b"\r\n");
    ends.await.unwrap();
}
