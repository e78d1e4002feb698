//! TLS between HAProxy and replicas.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use skyfleet_gateway::config::{ClientCertificate, Config, TlsSettings, UpstreamTls};
use skyfleet_gateway::tls::PrivatePem;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::running::Running;
use crate::balancer::Balancer;
use crate::client::get;
use crate::load::ask;
use crate::replica::Replica;
use crate::routes::{HOST, to};

const NAME: &str = "models.internal";

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    fn issue(&self, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        // OpenSSL takes one that is named as its issuer for one that has signed itself.
        params.distinguished_name.push(DnType::CommonName, NAME);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn client(&self) -> ClientCertificate {
        let (certificate, key) = self.issue(ExtendedKeyUsagePurpose::ClientAuth);
        ClientCertificate { certificate: certificate.into_bytes(), key: PrivatePem::new(key.into_bytes()) }
    }
}

/// Speaks TLS before a replica, with clients that show a certificate of the authority. Its port.
async fn before(replica: &Replica, authority: &Authority) -> u16 {
    let (certificate, key) = authority.issue(ExtendedKeyUsagePurpose::ServerAuth);
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority.pem()).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let certificates = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = config.with_client_cert_verifier(clients).with_single_cert(certificates, key).unwrap();
    let (acceptor, to) = (TlsAcceptor::from(Arc::new(config)), replica.address);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut replica = TcpStream::connect(to).await.unwrap();
                    _ = copy_bidirectional(&mut stream, &mut replica).await;
                }
            });
        }
    });
    port
}

/// One route to these ports, by TLS.
fn spoken(replica: &Replica, ports: &[u16], settings: &TlsSettings) -> Config {
    let mut config = to(&[replica]);
    let endpoints = &mut config.routes[0].backends[0].endpoints;
    let first = endpoints.remove(0);
    endpoints.extend(ports.iter().map(|port| {
        let mut endpoint = first.clone();
        endpoint.endpoint.port = *port;
        endpoint
    }));
    config.routes[0].tls = Some(UpstreamTls::Spoken(settings.clone()));
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_and_shown() {
    let balancer = Running::start().await;
    let (replica, authority, other) = (Replica::start("a"), Authority::new(), Authority::new());
    let ports = [before(&replica, &authority).await, before(&replica, &authority).await];
    let server_name = Some(NAME.to_owned());
    let good = TlsSettings { authorities: Some(authority.pem()), client: Some(authority.client()), server_name };
    balancer.settle(&spoken(&replica, &ports[..1], &good)).await;
    assert_eq!(get(balancer.address(), HOST, "/").await.server(), Some("a"));
    // A server that comes by a command speaks it too.
    let process = balancer.process().await;
    balancer.settle(&spoken(&replica, &ports, &good)).await;
    assert_eq!(balancer.process().await, process, "it was reloaded");
    balancer.settle(&spoken(&replica, &ports[1..], &good)).await;
    let outcome = ask(balancer.address(), HOST, "/", 2, 20).await;
    assert!(outcome.failed.is_empty(), "{outcome:?}");

    for (what, settings) in [
        ("of another authority", TlsSettings { authorities: Some(other.pem()), ..good.clone() }),
        ("for another name", TlsSettings { server_name: Some("other.internal".to_owned()), ..good.clone() }),
        ("without the client's", TlsSettings { client: None, ..good.clone() }),
        ("of whom the system trusts", TlsSettings { authorities: None, ..good.clone() }),
    ] {
        let config = spoken(&replica, &ports, &settings);
        balancer.settle(&config).await;
        let answer = get(balancer.address(), HOST, "/").await;
        assert!(answer.server().is_none() && answer.status.is_server_error(), "{what}: {answer:?}");
    }
    // Keys are for nobody else to read, and go with who needs them.
    let folder = balancer.settings.folder.join("tls");
    balancer.settle(&spoken(&replica, &ports, &good)).await;
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 2);
    for file in files {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    balancer.settle(&Config::default()).await;
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
