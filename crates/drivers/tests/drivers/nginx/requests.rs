//! What becomes of requests on their way.

use std::net::SocketAddr;
use std::time::Duration;

use skyfleet_gateway::config::{Affinity, AffinityBy, Config, Matching, Protocol, RateLimits, Rates, RouteConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::Running;
use super::raw::{ask, status, to_server};
use crate::balancer::{Balancer as _, LONG};
use crate::client::get;
use crate::port::reserve;
use crate::replica::Replica;
use crate::routes::{HOST, route};

/// A server of the user's own that says what it was asked.
fn echo(address: SocketAddr, listen: &str) -> String {
    format!(
        "server {{
    listen {address} {listen};
    default_type text/plain;
    location / {{ return 200 \"$server_protocol|$request_uri|$http_host|$http_x_forwarded_for|$http_x_forwarded_proto\
         |$http_x_forwarded_host|$http_forwarded|$http_upgrade|$http_connection|$http_proxy_authorization\"; }}
}}"
    )
}

fn of_host(host: &str) -> Matching {
    Matching { hosts: vec![host.to_owned()], ..Matching::default() }
}

async fn settled(config: RouteConfig, of_http: &str, of_server: &str) -> Running {
    let running = Running::with(of_http, of_server).await;
    running.settle(&Config { routes: vec![config] }).await;
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_those_of_the_gateway() {
    let server = reserve();
    let config = to_server("127.0.0.1", server.port());
    let second = reserve();
    let of_http = format!("{}\nserver {{ listen {second}; include skyfleet/server*.conf; }}", echo(server, ""));
    let running = settled(config.clone(), &of_http, "").await;
    let head = "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nUpgrade: x\r\nProxy-Authorization: secret\r\n\
                X-Forwarded-Host: evil\r\n";
    let answer = ask(running.address(), "GET /a?b", head, "").await;
    let expected = format!("HTTP/1.1|/a?b|{HOST}|1.2.3.4, 127.0.0.1|http|{HOST}||||");
    assert!(answer.ends_with(&expected), "{answer}");
    let answer = ask(second, "GET /a?b", head, "").await;
    assert!(answer.ends_with(&expected), "in all server blocks: {answer}");
    // The host of the URI counts.
    running.settle(&Config { routes: vec![RouteConfig { matching: of_host("other.org"), ..config }] }).await;
    let answer = ask(running.address(), "GET http://other.org:80/a?b", "", "").await;
    assert!(answer.ends_with("HTTP/1.1|/a?b|other.org:80|127.0.0.1|http|other.org:80||||"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_where_the_route_says_so() {
    let server = reserve();
    let config = RouteConfig { protocol: Protocol::Http2, ..to_server("127.0.0.1", server.port()) };
    let running = settled(config, &echo(server, "http2"), "").await;
    let answer =
        ask(running.address(), "POST /inference.GRPCInferenceService/ModelInfer?a=%20b", "Content-Length: 2\r\n", "{}");
    let answer = answer.await;
    let expected =
        format!("HTTP/2.0|/inference.GRPCInferenceService/ModelInfer?a=%20b|{HOST}|127.0.0.1|http|{HOST}||||");
    assert!(answer.contains(&expected), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protocol_becomes_a_tunnel() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = settled(to_server("127.0.0.1", listener.local_addr().unwrap().port()), "", "").await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).await.unwrap();
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(&said).await.unwrap();
        String::from_utf8(head[..length].to_vec()).unwrap().to_lowercase()
    });
    let tunnel = async {
        let mut client = TcpStream::connect(running.address()).await.unwrap();
        let head =
            format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.read_u8().await.unwrap());
        }
        client.write_all(b"ping").await.unwrap();
        let mut said = [0; 4];
        client.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"ping");
    };
    timeout(LONG, tunnel).await.expect("a tunnel");
    let head = server.await.unwrap();
    assert!(head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused() {
    let replica = Replica::start("a");
    let limits = RateLimits {
        client_header: Some("x-key".to_owned()),
        per_client: Some(Rates { requests_per_minute: Some(2), tokens_per_minute: None }),
        total: None,
    };
    let config = RouteConfig { request_bytes: 4, limits, ..route("llama", HOST, &[(&replica, 1)]) };
    let running = settled(config, "error_page 413 /mine;", "").await;
    let post = async |key: &str, body: &str| {
        let head = format!("X-Key: {key}\r\nContent-Length: {}\r\n", body.len());
        ask(running.address(), "POST /v1", &head, body).await
    };
    assert_eq!(status(&post("a", "1234").await), "200");
    let large = post("b", "12345").await;
    assert!(status(&large) == "413" && large.contains("\"code\": \"request_too_large\""), "{large}");
    let mut limited = post("a", "1234").await;
    // It may be more than two where these take half a minute.
    for _ in 0..10 {
        if status(&limited) != "429" {
            limited = post("a", "1234").await;
        }
    }
    assert!(status(&limited) == "429" && limited.contains("\"code\": \"rate_limited\""), "{limited}");
    assert_eq!(status(&post("c", "1234").await), "200", "clients are told apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_keeps_a_session_together() {
    let replicas = ["a", "b", "c"].map(Replica::start);
    let all: Vec<_> = replicas.iter().map(|replica| (replica, 1)).collect();
    let by = AffinityBy::Cookie { name: "replica".to_owned(), ttl: Some(Duration::from_mins(1)) };
    let affinity = Some(Affinity { by, bound_percent: 125 });
    let running = settled(RouteConfig { affinity, ..route("llama", HOST, &all) }, "", "").await;
    let first = get(running.address(), HOST, "/").await;
    let set = first.header("set-cookie").unwrap();
    assert!(set.ends_with("; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"), "{set}");
    let cookie = set.split(';').next().unwrap();
    let server = format!("x-server: {}", first.server().unwrap());
    for _ in 0..8 {
        let answer = ask(running.address(), "GET /", &format!("Cookie: a=b; {cookie}\r\n"), "").await;
        assert!(answer.contains(&server) && !answer.to_lowercase().contains("set-cookie"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_told_apart_by_a_header() {
    let (llama, any) = (Replica::start("llama"), Replica::start("any"));
    let models = vec!["meta/llama 3:\"8b\"".to_owned(), "other".to_owned()];
    let matching = Matching { models, ..of_host(HOST) };
    let named = RouteConfig { matching, ..route("named", HOST, &[(&llama, 1)]) };
    let running = Running::start().await;
    running.settle(&Config { routes: vec![route("any", HOST, &[(&any, 1)]), named] }).await;
    for (head, expected) in [
        ("X-Gateway-Model-Name: meta/llama 3:\"8b\"\r\n", "llama"),
        ("X-Gateway-Model-Name: other\r\n", "llama"),
        ("X-Gateway-Model-Name: meta/llama 3:\"8b\"x\r\n", "any"),
        ("", "any"),
    ] {
        let answer = ask(running.address(), "GET / x", head, "").await;
        assert_eq!(status(&answer), "400", "a URI has no spaces: {answer}");
        let answer = ask(running.address(), "GET /", head, "").await;
        assert!(answer.contains(&format!("x-server: {expected}\r\n")), "{head}: {answer}");
    }
}

/// What a user's own part does within NGINX for a request goes to the user's own locations, although the request is ours.
#[tokio::test(flavor = "multi_thread")]
async fn the_users_own_checks_stay_theirs() {
    let replica = Replica::start("a");
    let own = "auth_request /auth;
        error_page 403 /denied;
        location = /auth { internal; if ($http_x_key = \"\") { return 403; } return 204; }
        location = /denied { internal; return 403 \"denied by the user\"; }";
    let running = settled(route("llama", HOST, &[(&replica, 1)]), "", own).await;
    let denied = ask(running.address(), "GET /", "", "").await;
    assert_eq!(status(&denied), "403", "{denied}");
    assert_eq!(replica.count(), 0);
    let answer = ask(running.address(), "GET /", "X-Key: k\r\n", "").await;
    assert!(answer.contains("x-server: a\r\n"), "{answer}");
    assert_eq!(
        status(&ask(running.address(), "GET /.skyfleet/x", "X-Key: k\r\n", "").await),
        "200",
        "it is a path as any other"
    );
}
