//! TLS with replicas. The gateway plays one: it speaks TLS, and passes on.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use skyfleet_drivers::apache::{Apache, Settings};
use skyfleet_drivers::{Driver as _, DriverError, reconcile};
use skyfleet_gateway::config::{
    ClientCertificate, Config, EndpointConfig, Matching, RouteConfig, TlsSettings, UpstreamTls,
};
use skyfleet_gateway::tls::{Acceptor, PrivatePem, ServerTls};
use skyfleet_gateway::{Gateway, Serving, serve};
use tokio_util::sync::CancellationToken;

use super::server::{self, Server};
use crate::balancer::Balancer;
use crate::client::get;
use crate::replica::Replica;
use crate::routes::{HOST, route};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> (Vec<u8>, PrivatePem) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        // mod_ssl does not look at addresses among the further names.
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        (certificate.into_bytes(), PrivatePem::new(key.serialize_pem().into_bytes()))
    }
}

/// A replica whose certificate has this name, and that wants one of its clients.
struct Secured {
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Secured {
    fn start(authority: &Authority, name: &str, replica: &Replica) -> Self {
        let (address, stop, gateway) = (crate::port::reserve(), CancellationToken::new(), Arc::<Gateway>::default());
        gateway.configure(Config {
            routes: vec![RouteConfig { matching: Matching::default(), ..route("in", "", &[(replica, 1)]) }],
        });
        let (certificate, key) = authority.issue(name);
        let client_authorities = Some(authority.0.pem().into_bytes());
        let tls = Acceptor::new(&gateway, &ServerTls { certificate, key, client_authorities }).unwrap();
        let (head, drain) = (Duration::from_secs(30), Duration::from_secs(1));
        let serving = Serving { listen: address, workers: 1, log: None, tls: Some(Arc::new(tls)), head, drain };
        let stops = stop.clone();
        let thread = Some(std::thread::spawn(move || serve(&gateway, &serving, &stops)));
        Self { address, stop, thread }
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.stop.cancel();
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn secured(name: &'static str, host: &str, (replica, at): (&Replica, &Secured), tls: TlsSettings) -> RouteConfig {
    let mut route = route(name, host, &[]);
    let EndpointConfig { mut endpoint, .. } = replica.endpoint(1);
    endpoint.port = at.address.port();
    route.backends = vec![crate::routes::backend(1, &[])];
    route.backends[0].endpoints = vec![EndpointConfig { endpoint, weight: 1, egress_price: 0 }];
    route.tls = Some(UpstreamTls::Spoken(tls));
    route
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_shown_and_looked_at() {
    let (apache, replica) = (Server::start().await, Replica::start("a"));
    let (authority, other) = (Authority::new(), Authority::new());
    let right = Secured::start(&authority, "127.0.0.1", &replica);
    let wrong = Secured::start(&authority, "elsewhere.example.com", &replica);
    let tls = |of: &Authority, shown: bool| {
        let (certificate, key) = authority.issue("apache");
        let client = shown.then_some(ClientCertificate { certificate, key });
        TlsSettings { authorities: Some(of.0.pem().into_bytes()), client, server_name: None }
    };
    let routes = vec![
        secured("good", HOST, (&replica, &right), tls(&authority, true)),
        secured("shows-none", "shows-none.example.com", (&replica, &right), tls(&authority, false)),
        secured("other-authority", "other.example.com", (&replica, &right), tls(&other, true)),
        secured("other-name", "name.example.com", (&replica, &wrong), tls(&authority, true)),
    ];
    apache.settle(&Config { routes: routes.clone() }).await;
    assert_eq!(get(apache.address(), HOST, "/x").await.server(), Some("a"));
    for host in ["shows-none.example.com", "other.example.com", "name.example.com"] {
        let answer = get(apache.address(), host, "/x").await;
        assert_eq!((answer.server(), answer.status.is_server_error()), (None, true), "{host}: {answer:?}");
    }
    for file in std::fs::read_dir(apache.settings().directory).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
    // What OpenSSL could not read would end Apache as it reads its files again.
    let mut bad = routes[0].clone();
    let client =
        ClientCertificate { certificate: b"no certificate".to_vec(), key: PrivatePem::new(b"no key".to_vec()) };
    bad.tls = Some(UpstreamTls::Spoken(TlsSettings { client: Some(client), ..TlsSettings::default() }));
    let plan = apache.driver().plan(&Config { routes: vec![bad] });
    assert!(plan.lacks["ml/good"].iter().any(|lack| lack.is_refused && lack.field == "spec.tls"), "{:?}", plan.lacks);
    apache.settle(&Config { routes: vec![routes[0].clone()] }).await;
    let certificates = std::fs::read_dir(apache.settings().directory).unwrap();
    let certificates =
        certificates.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|kind| kind == "pem"));
    assert_eq!(certificates.count(), 2, "certificates of routes that are gone are left");
    assert_eq!(get(apache.address(), HOST, "/x").await.status, StatusCode::OK);
}

/// Where the virtual host takes requests by TLS only, the balancer-manager is asked so as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_virtual_host_may_speak_tls() {
    let (authority, replica) = (Authority::new(), Replica::start("a"));
    let (certificate, key) = authority.issue(server::HOST);
    let apache = Server::start_with(|folder| {
        for (name, text) in [("crt", &*certificate), ("key", key.reveal()), ("ca", authority.0.pem().as_bytes())] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let folder = folder.display();
        format!("  SSLEngine on\n  SSLCertificateFile {folder}/crt\n  SSLCertificateKeyFile {folder}/key\n")
    })
    .await;
    let settings = apache.settings();
    let ca = settings.directory.parent().unwrap().join("ca");
    let driver = Apache::new(Settings { manager_authorities: Some(ca.clone()), ..settings });
    let config = Config { routes: vec![route("llama", HOST, &[(&replica, 1)])] };
    let wanted = driver.plan(&config).wanted;
    let done = reconcile(&driver, &wanted).await.unwrap();
    assert!(done.steps > 0 && done.after.pools["ml/llama"].contains_key(&replica.address.to_string()), "{done:?}");
    assert_eq!(reconcile(&driver, &wanted).await.unwrap().steps, 0);
    let other = Settings { host: "other.example.com".to_owned(), manager_authorities: Some(ca), ..apache.settings() };
    let error = Apache::new(other).read().await.unwrap_err();
    assert!(matches!(error, DriverError::Unreachable { .. }), "{error}");
}
