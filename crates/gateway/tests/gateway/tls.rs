//! TLS with clients: what is shown to them, what is asked of them, and how it changes while they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use skyfleet_gateway::tls::{ServerTls, TlsError};
use tokio::io::AsyncReadExt as _;

use crate::certificates::{Authority, NAME, Secured, connect};
use crate::replica::{Replica, ok};
use crate::running::{Running, everything};

const HTTP_1_1: &[u8] = b"http/1.1";
const LONG: Duration = Duration::from_secs(30);

/// A replica that says by which scheme the client came.
async fn telling() -> Replica {
    Replica::start(|received| ok(received.header("x-forwarded-proto").unwrap())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_choose_between_http2_and_http1() {
    let (authority, replica) = (Authority::new(), telling().await);
    let tls = authority.issue_until(NAME, (2099, 12, 31)).server_tls();
    let (running, _) = Running::secured(vec![everything(vec![replica.endpoint()])], &tls, LONG).await;
    let mut one = Secured::connect(running.address, &authority.client(None, HTTP_1_1)).await.unwrap();
    assert_eq!(one.get("/").await.unwrap(), (200, "https".to_owned()));

    let stream = connect(running.address, &authority.client(None, b"h2")).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("https://{NAME}/")).body(Full::<bytes::Bytes>::default()).unwrap();
    let answer = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.to_bytes(), "https");
    assert_eq!(replica.received()[1].header("host"), Some(NAME));

    let text = running.gateway.metrics().unwrap();
    let not_after = r#"skyfleet_gateway_certificate_not_after_seconds{shown_to="clients"} 4102358400"#;
    assert!(text.contains(not_after), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_certificates_are_exchanged() {
    let (authority, replica) = (Authority::new(), telling().await);
    let pairs: Vec<_> = (0..4).map(|_| authority.issue(NAME).server_tls()).collect();
    let (running, acceptor) = Running::secured(vec![everything(vec![replica.endpoint()])], &pairs[0], LONG).await;
    let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let connector = authority.client(None, HTTP_1_1);
    let mut kept = Secured::connect(running.address, &connector).await.unwrap();
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (done, count, connector, address) = (done.clone(), count.clone(), connector.clone(), running.address);
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    let mut client = Secured::connect(address, &connector).await.unwrap();
                    for _ in 0..3 {
                        assert_eq!(client.get("/").await.unwrap().0, 200);
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for pair in pairs.iter().cycle().take(12) {
        acceptor.replace(pair).unwrap();
        let before = count.load(Ordering::SeqCst);
        while count.load(Ordering::SeqCst) < before + 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(kept.get("/").await.unwrap().0, 200, "what is open stays open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_is_none_is_refused_and_the_old_one_stays() {
    let (old, new, replica) = (Authority::new(), Authority::new(), telling().await);
    let (first, second) = (old.issue(NAME).server_tls(), new.issue(NAME).server_tls());
    let (running, acceptor) = Running::secured(vec![everything(vec![replica.endpoint()])], &first, LONG).await;
    let mixed = ServerTls { key: first.key.clone(), ..second.clone() };
    assert!(matches!(acceptor.replace(&mixed), Err(TlsError::NotAPair)));
    let cut = ServerTls { certificate: second.certificate[..100].to_vec(), ..second.clone() };
    assert!(matches!(acceptor.replace(&cut), Err(TlsError::NotPem { .. } | TlsError::NoCertificate { .. })));
    let (by_old, by_new) = (old.client(None, HTTP_1_1), new.client(None, HTTP_1_1));
    assert_eq!(Secured::connect(running.address, &by_old).await.unwrap().get("/").await.unwrap().0, 200);
    assert!(Secured::connect(running.address, &by_new).await.is_err());
    acceptor.replace(&second).unwrap();
    assert_eq!(Secured::connect(running.address, &by_new).await.unwrap().get("/").await.unwrap().0, 200);
    let text = running.gateway.metrics().unwrap();
    for line in [r#"certificate_loads_total{outcome="refused"} 2"#, r#"certificate_loads_total{outcome="taken"} 2"#] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_have_to_show_a_certificate() {
    let (authority, others, replica) = (Authority::new(), Authority::new(), telling().await);
    let trusted = Some(authority.pem().into_bytes());
    let tls = ServerTls { client_authorities: trusted, ..authority.issue(NAME).server_tls() };
    let (running, _) = Running::secured(vec![everything(vec![replica.endpoint()])], &tls, LONG).await;
    let own = authority.issue("client");
    let wrong = others.issue("client");
    for (shown, is_served) in [(Some(&own), true), (Some(&wrong), false), (None, false)] {
        let connector = authority.client(shown, HTTP_1_1);
        // In TLS 1.3 the client learns of it only with what it reads first.
        let answer = match Secured::connect(running.address, &connector).await {
            Ok(mut client) => client.get("/").await.ok(),
            Err(_) => None,
        };
        assert_eq!(answer.is_some(), is_served, "{answer:?}");
    }
    assert_eq!(replica.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shakes_hands_slowly_or_in_clear_text_is_given_up() {
    let (authority, replica) = (Authority::new(), telling().await);
    let tls = authority.issue(NAME).server_tls();
    let head = Duration::from_millis(300);
    let (running, _) = Running::secured(vec![everything(vec![replica.endpoint()])], &tls, head).await;
    let mut silent = tokio::net::TcpStream::connect(running.address).await.unwrap();
    let closed = tokio::time::timeout(LONG, silent.read(&mut [0; 64])).await.expect("it is closed");
    assert_eq!(closed.unwrap_or(0), 0);
    let mut plain = running.client().await;
    plain.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(!String::from_utf8_lossy(&plain.rest().await).contains("200"));
    assert_eq!(replica.count(), 0);
    let counted = async {
        while !running.gateway.metrics().unwrap().contains("skyfleet_gateway_failed_handshakes_total 2") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, counted).await.expect("both count as failed, and what only connects does not");
}
