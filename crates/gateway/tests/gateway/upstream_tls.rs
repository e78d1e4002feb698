//! TLS with replicas: whom a route trusts, what it shows, and that it shares its connections with no other.

use http::Response;
use skyfleet_gateway::config::{
    ClientCertificate, Config, Endpoint, EndpointConfig, Matching, Protocol, RouteConfig, TlsSettings, UpstreamTls,
};
use skyfleet_gateway::tls::PrivatePem;

use crate::certificates::{Authority, Issued, NAME};
use crate::running::{Running, everything, route};
use crate::service::{Handler, Service, Settings, handler, text, tls};

/// Says over which connection the request came.
fn telling() -> Handler {
    handler(|connection, _| async move { Response::new(text(format!("connection {connection}"))) })
}

async fn secured(shown: &Issued, clients: Option<&Authority>, protocol: Protocol) -> Service {
    let is_http2 = protocol == Protocol::Http2;
    let alpn: &[u8] = if is_http2 { b"h2" } else { b"http/1.1" };
    let settings = Settings { tls: Some(tls(shown, clients, alpn)), is_http2, ..Settings::default() };
    Service::start(settings, telling()).await
}

fn trusting(authority: &Authority) -> TlsSettings {
    let authorities = Some(authority.pem().into_bytes());
    TlsSettings { authorities, server_name: Some(NAME.to_owned()), client: None }
}

fn showing(settings: TlsSettings, own: &Issued) -> TlsSettings {
    let key = PrivatePem::new(own.key.clone().into_bytes());
    let client = ClientCertificate { certificate: own.certificate.clone().into_bytes(), key };
    TlsSettings { client: Some(client), ..settings }
}

fn spoken(endpoint: EndpointConfig, protocol: Protocol, settings: TlsSettings) -> RouteConfig {
    RouteConfig { protocol, tls: Some(UpstreamTls::Spoken(settings)), ..everything(vec![endpoint]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_spoken_to_over_tls() {
    let authority = Authority::new();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let service = secured(&authority.issue(NAME), None, protocol).await;
        let running = Running::of(vec![spoken(service.endpoint(), protocol, trusting(&authority))]).await;
        let mut client = running.client().await;
        for _ in 0..3 {
            let answer = client.exchange("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
            assert_eq!((answer.status, &*answer.body), (200, "connection 0"), "{protocol:?}");
        }
        running.until_idle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_certificate_is_told() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (good, wrong_name) = (authority.issue(NAME), authority.issue("other.example.com"));
    let old = authority.issue_until(NAME, (2001, 1, 1));
    for (shown, trusted, said) in [
        (&good, &other, "of an authority that is not trusted: see spec.tls.caSecretRef"),
        (&wrong_name, &authority, "is not for \\\"models.example.com\\\""),
        (&old, &authority, "is not good any more"),
    ] {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let service = secured(shown, None, protocol).await;
            let running = Running::of(vec![spoken(service.endpoint(), protocol, trusting(trusted))]).await;
            let (status, body) = running.get("/").await;
            assert!(status == 502 && body.contains(said), "{status} {body}");
            let line = running.log(1).await[0]["error"].to_string();
            assert!(line.contains("replica_failed") && line.contains("cannot speak TLS"), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_for_the_endpoints_host_where_no_name_is_given() {
    let authority = Authority::new();
    let service = secured(&authority.issue("localhost"), None, Protocol::Http1).await;
    let by_name = Endpoint { host: "localhost".to_owned(), ..service.endpoint().endpoint };
    let settings = TlsSettings { server_name: None, ..trusting(&authority) };
    let route =
        |endpoint| spoken(EndpointConfig { endpoint, weight: 1, egress_price: 0 }, Protocol::Http1, settings.clone());
    let running = Running::of(vec![route(by_name)]).await;
    assert_eq!(running.get("/").await.0, 200);
    running.gateway.configure(Config { routes: vec![route(service.endpoint().endpoint)] });
    let (status, body) = running.get("/").await;
    assert!(status == 502 && body.contains("is not for \\\"127.0.0.1\\\""), "{status} {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_may_ask_for_a_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let service = secured(&authority.issue(NAME), Some(&clients), protocol).await;
        let with = showing(trusting(&authority), &clients.issue("gateway"));
        let running = Running::of(vec![spoken(service.endpoint(), protocol, with)]).await;
        assert_eq!(running.get("/").await.0, 200, "{protocol:?}");
        let without = spoken(service.endpoint(), protocol, trusting(&authority));
        running.gateway.configure(Config { routes: vec![without] });
        let (status, body) = running.get("/").await;
        assert_eq!(status, 502, "{protocol:?}: {body}");
        assert!(protocol == Protocol::Http1 || body.contains("see spec.tls.clientCertificateSecretRef"), "{body}");
        let wrong = showing(trusting(&authority), &authority.issue("gateway"));
        running.gateway.configure(Config { routes: vec![spoken(service.endpoint(), protocol, wrong)] });
        assert_eq!(running.get("/").await.0, 502, "{protocol:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_of_one_route_and_of_one_certificate() {
    let (authority, other) = (Authority::new(), Authority::new());
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let service = secured(&authority.issue(NAME), None, protocol).await;
        let of = |path: &str, settings: TlsSettings| RouteConfig {
            matching: Matching { path_prefixes: vec![path.to_owned()], ..Matching::default() },
            protocol,
            tls: Some(UpstreamTls::Spoken(settings)),
            ..route(path, vec![service.endpoint()])
        };
        let (trusts, does_not) = (trusting(&authority), trusting(&other));
        let running = Running::of(vec![of("/a", trusts.clone()), of("/b", trusts.clone()), of("/c", does_not)]).await;
        // One connection of a client is one worker.
        let mut client = running.client().await;
        let mut get = async |path: &str| {
            let answer = client.exchange(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
            (answer.status, answer.body)
        };
        for (path, expected) in [("/a", 0), ("/b", 1), ("/a", 0), ("/b", 1)] {
            assert_eq!(get(path).await, (200, format!("connection {expected}")), "{protocol:?} {path}");
        }
        assert_eq!(get("/c").await.0, 502, "what others trust is nothing to it");
        let before = service.connections();
        let same = || of("/b", trusts.clone());
        let changed = of("/a", showing(trusts.clone(), &other.issue("gateway")));
        running.gateway.configure(Config { routes: vec![changed, same()] });
        assert_eq!(get("/a").await, (200, format!("connection {before}")), "{protocol:?}: it shows something else");
        assert_eq!(get("/b").await, (200, "connection 1".to_owned()), "{protocol:?}: it is as it was");
        running.gateway.configure(Config { routes: vec![RouteConfig { tls: None, ..same() }] });
        assert_ne!(get("/b").await.0, 200, "clear text goes over no connection of TLS");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_in_clear_text_where_tls_cannot_be_spoken() {
    let service = Service::start(Settings::default(), telling()).await;
    let running = Running::with(vec![service.endpoint()]).await;
    assert_eq!(running.get("/").await.0, 200);
    let garbage = TlsSettings { authorities: Some(b"none".to_vec()), ..TlsSettings::default() };
    for (tls, said) in [
        (UpstreamTls::NotReady("the Secret ml/ca is not there".to_owned()), "the Secret ml/ca is not there"),
        (UpstreamTls::Spoken(garbage), "has no certificate"),
    ] {
        let route = RouteConfig { tls: Some(tls), ..everything(vec![service.endpoint()]) };
        running.gateway.configure(Config { routes: vec![route] });
        let (status, body) = running.get("/").await;
        assert!(status == 503 && body.contains("tls_not_ready") && body.contains(said), "{status} {body}");
    }
    assert_eq!(service.connections(), 1);
}
