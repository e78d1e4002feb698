//! TLS with replicas.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use skyfleet_drivers::Driver as _;
use skyfleet_gateway::config::{ClientCertificate, Config, RouteConfig, TlsSettings, UpstreamTls};
use skyfleet_gateway::tls::PrivatePem;

use super::Running;
use super::raw::{ask, status, to_server};
use crate::balancer::Balancer as _;
use crate::port::reserve;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        // OpenSSL takes a certificate for its own issuer that has the same name.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_and_shown() {
    let (authority, other, server) = (Authority::new(), Authority::new(), reserve());
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.issue("models.internal");
    for (name, pem) in [("ca.pem", &authority.0.pem()), ("server.pem", &certificate), ("server.key", &key)] {
        fs::write(folder.path().join(name), pem).unwrap();
    }
    let root = folder.path().display();
    let replica = format!(
        "server {{ listen {server} ssl; ssl_certificate {root}/server.pem; ssl_certificate_key {root}/server.key;
         ssl_client_certificate {root}/ca.pem; ssl_verify_client optional;
         location / {{ return 200 \"$ssl_client_verify $ssl_server_name\"; }} }}"
    );
    let (certificate, key) = authority.issue("gateway");
    let client = ClientCertificate { certificate: certificate.into_bytes(), key: PrivatePem::new(key.as_bytes()) };
    let settings = |authority: &Authority, name: &str, client: Option<&ClientCertificate>| TlsSettings {
        authorities: Some(authority.0.pem().into_bytes()),
        client: client.cloned(),
        server_name: Some(name.to_owned()),
    };
    let running = Running::with(&replica, "").await;
    for (settings, expected, said) in [
        (settings(&authority, "models.internal", Some(&client)), "200", "SUCCESS models.internal"),
        (settings(&authority, "models.internal", None), "200", "NONE models.internal"),
        (settings(&authority, "other.internal", None), "502", "replica_failed"),
        (settings(&other, "models.internal", None), "502", "replica_failed"),
        (TlsSettings { server_name: None, ..settings(&authority, "", None) }, "503", "no_replica"),
    ] {
        let tls = Some(UpstreamTls::Spoken(settings));
        let config = Config { routes: vec![RouteConfig { tls, ..to_server("127.0.0.1", server.port()) }] };
        running.settle(&config).await;
        let answer = ask(running.address(), "GET /", "", "").await;
        assert!(status(&answer) == expected && answer.contains(said), "{answer}");
        let plan = running.driver().plan(&config);
        assert_eq!(plan.lacks.contains_key("ml/llama"), expected == "503", "{:?}", plan.lacks);
        assert!(!format!("{plan:?}").contains("PRIVATE KEY"));
        let keys = fs::read_dir(running.live("")).unwrap().map(|entry| entry.unwrap());
        for key in keys.filter(|entry| entry.file_name().to_string_lossy().contains("key")) {
            assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
