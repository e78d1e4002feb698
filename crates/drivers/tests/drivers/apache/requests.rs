//! What becomes of requests, beyond what all load balancers do alike.

use std::time::Duration;

use hyper::StatusCode;
use skyfleet_drivers::Driver as _;
use skyfleet_gateway::config::{Affinity, AffinityBy, Config, HealthConfig, Locality};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::server::Server;
use crate::balancer::{Balancer, LONG};
use crate::client::{Asked, Client};
use crate::replica::Replica;
use crate::routes::{HOST, route, to};

async fn ask(server: &Server, path: &str, header: (&str, &str)) -> crate::client::Answer {
    Client::new(server.address()).get(Asked { host: HOST, path, header: Some(header) }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_arrives_as_it_was_sent() {
    let (server, replica) = (Server::start().await, Replica::start("a"));
    server.settle(&to(&[&replica])).await;
    for path in [
        "/?",
        "/a?&",
        "/a?b=c&",
        "/a?b&&",
        "/a/?x?y",
        "/%3f?%3F",
        "/%25/$1?%1$2%{x}",
        "/a;b=c/..;/",
        "//a///b",
        "/a/./b/",
    ] {
        // Not every client lets all of this through.
        let answer = server.raw(&format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
        if answer.starts_with("HTTP/1.1 400") {
            continue;
        }
        assert!(
            answer.to_ascii_lowercase().contains(&format!("x-uri: {}\r\n", path.to_ascii_lowercase())),
            "{path}: {answer}"
        );
    }
    let answer =
        server.raw(&format!("GET http://{HOST}/x?y HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
    assert!(answer.contains("x-uri: /x?y\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_says_the_model() {
    let server = Server::start().await;
    let names = ["llama", "any"];
    let [llama, any] = names.map(Replica::start);
    let mut of_model = route("model", HOST, &[(&llama, 1)]);
    of_model.matching.models = vec!["meta/Llama-3.1".to_owned(), "x\"] [P]\nInclude /etc/passwd\n\\".to_owned()];
    let config = Config { routes: vec![route("any", HOST, &[(&any, 1)]), of_model] };
    let lacks = server.driver().plan(&config).lacks;
    assert!(lacks["ml/model"].iter().any(|lack| lack.field == "spec.models" && !lack.is_refused), "{lacks:?}");
    server.settle(&config).await;
    for (model, expected) in
        [("meta/Llama-3.1", "llama"), ("meta/Llama-311", "any"), ("meta/llama-3.1", "any"), ("", "any")]
    {
        let answer = ask(&server, "/v1/chat/completions", ("X-Gateway-Model-Name", model)).await;
        assert_eq!(answer.server(), Some(expected), "{model}");
        assert_eq!(answer.header("vary"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_keeps_a_session_with_its_replica_also_with_one_that_came_later() {
    let server = Server::start().await;
    let [a, b] = ["a", "b"].map(Replica::start);
    let with_cookie = |replicas: &[&Replica]| {
        let mut config = to(replicas);
        let by = AffinityBy::Cookie { name: "replica".to_owned(), ttl: Some(Duration::from_mins(1)) };
        config.routes[0].affinity = Some(Affinity { by, bound_percent: 125 });
        config
    };
    server.settle(&with_cookie(&[&a])).await;
    let before = server.restarts();
    server.settle(&with_cookie(&[&a, &b])).await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let first = ask(&server, "/", ("accept", "*/*")).await;
        let cookie = first.header("set-cookie").unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        for _ in 0..3 {
            let again = ask(&server, "/", ("cookie", &cookie)).await;
            assert_eq!((again.server(), again.header("set-cookie")), (first.server(), None));
        }
        sessions.push((first.server().unwrap().to_owned(), cookie));
    }
    assert!(["a", "b"].iter().all(|name| sessions.iter().any(|(server, _)| server == name)), "{sessions:?}");
    // Who goes leaves its sessions to others.
    server.settle(&with_cookie(&[&b])).await;
    let (_, cookie) = sessions.iter().find(|(server, _)| server == "a").unwrap();
    let moved = ask(&server, "/", ("cookie", cookie)).await;
    assert_eq!(moved.server(), Some("b"));
    assert!(moved.header("set-cookie").is_some());
    assert_eq!(server.restarts(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_its_bound_and_the_managers_page_its_guard() {
    let (server, replica) = (Server::start().await, Replica::start("a"));
    let mut config = to(&[&replica]);
    config.routes[0].request_bytes = 2048;
    server.settle(&config).await;
    for (length, expected) in [(2048, StatusCode::OK), (2049, StatusCode::PAYLOAD_TOO_LARGE)] {
        let body = "x".repeat(length);
        let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let answer = server.raw(&format!("{head}{body}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {}", expected.as_str())), "{length}: {answer}");
    }
    // What came by another proxy on this machine is from anywhere.
    let path = server.settings().manager_path;
    let answer = ask(&server, &path, ("x-forwarded-for", "203.0.113.9")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(replica.count(), 1);
}

/// Who asks for WebSocket has a tunnel, also through a member that came while Apache ran.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_can_become_a_tunnel() {
    let (server, before, replica) =
        (Server::start().await, Replica::start("before"), TcpListener::bind("127.0.0.1:0").await.unwrap());
    server.settle(&to(&[&before])).await;
    let restarts = server.restarts();
    let mut config = to(&[&before]);
    config.routes[0].backends[0].endpoints[0].endpoint.port = replica.local_addr().unwrap().port();
    server.settle(&config).await;
    let echo = tokio::spawn(async move {
        let (mut stream, _) = replica.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(&said).await.unwrap();
        String::from_utf8(head).unwrap().to_ascii_lowercase()
    });
    let request = format!("GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let exchanged = async {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"ping").await.unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"ping");
        String::from_utf8(head).unwrap()
    };
    let head = timeout(LONG, exchanged).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let head = echo.await.unwrap();
    assert!(head.contains("upgrade: websocket\r\n") && head.contains("x-forwarded-proto: http\r\n"), "{head}");
    assert_eq!(server.restarts(), restarts);
}

/// Whatever is in the objects of users, Apache takes it as what it is, and serves.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_is_only_text() {
    let (server, replica) = (Server::start().await, Replica::start("a"));
    let hostile = [
        "\"\nInclude /etc/passwd\n\"",
        "x\\",
        "${HOME}",
        "%{ENV:HOME}",
        "</Proxy>",
        "\r\nServerRoot /",
        "a b",
        "#",
        "\" [P,L]",
        "(((",
        "[",
        "\0",
    ];
    let mut config = to(&[&replica]);
    for text in hostile {
        let mut one = route("x", HOST, &[(&replica, 1)]);
        one.name = format!("ml/x{}", config.routes.len());
        one.matching.hosts = vec![text.to_owned(), format!("*{text}")];
        one.matching.path_prefixes = vec![format!("/{text}")];
        one.matching.models = vec![text.to_owned()];
        let by = AffinityBy::Cookie { name: text.to_owned(), ttl: None };
        one.affinity = Some(Affinity { by, bound_percent: 125 });
        let (interval, wait) = (Duration::from_secs(5), Duration::from_secs(2));
        one.health = Some(HealthConfig { path: Some(format!("/{text}")), interval, timeout: wait, rise: 1, fall: 1 });
        let mut strange = replica.endpoint(1);
        strange.endpoint.host = text.to_owned();
        one.backends[0].endpoints.push(strange);
        config.routes.push(one.clone());
        one.name = text.to_owned();
        config.routes.push(one);
    }
    let plan = server.driver().plan(&config);
    assert!(hostile.iter().all(|name| plan.lacks[*name].iter().any(|lack| lack.is_refused)), "{:?}", plan.lacks);
    server.settle(&config).await;
    let answer = ask(&server, "/x", ("accept", "*/*")).await;
    assert_eq!((answer.server(), answer.header("x-uri")), (Some("a"), Some("/x")));
    assert_eq!(server.apply(&config).await.after.pools.len(), 1 + hostile.len());
}

/// Replicas elsewhere are asked when no local one takes a request, and only then.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_elsewhere_come_last() {
    let server = Server::start().await;
    let (mut local, remote) = (Replica::start("local"), Replica::start("remote"));
    let mut config = to(&[&local, &remote]);
    config.routes[0].backends[0].endpoints[1].endpoint.cluster = "gcp-1".to_owned();
    config.routes[0].locality = Some(Locality { cluster: "aws-1".to_owned(), spill_over_percent: 80 });
    server.settle(&config).await;
    let outcome = crate::load::ask(server.address(), HOST, "/", 2, 40).await;
    assert_eq!((outcome.answered.contains_key("remote"), outcome.failed), (false, vec![]));
    local.crash().await;
    let outcome = crate::load::ask(server.address(), HOST, "/", 2, 40).await;
    assert_eq!(outcome.failed, Vec::<String>::new());
    assert_eq!(outcome.answered.into_keys().collect::<Vec<_>>(), ["remote"]);
}
