//! TLS towards clients. What is shown to them may be exchanged at any time.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, version};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::error::TlsError;
use super::metrics::TlsMetrics;
use super::pem::{PrivatePem, authorities, certificates};
use super::{H2, HTTP_1_1, provider};
use crate::gateway::Gateway;

const CERTIFICATE: &str = "the certificate";
const CLIENT_AUTHORITIES: &str = "the authorities of client certificates";

/// What a gateway shows to clients, and asks of them: PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate, and those between it and an authority.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: PrivatePem,
    /// If given, only clients are served whose certificate one of these authorities has signed.
    pub client_authorities: Option<Vec<u8>>,
}

/// Takes connections by TLS. New ones go by what was given last; those that are open stay as they are.
pub struct Acceptor {
    config: ArcSwap<ServerConfig>,
    metrics: TlsMetrics,
}

impl Acceptor {
    /// One that is measured with this gateway.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(gateway: &Gateway, tls: &ServerTls) -> Result<Self, TlsError> {
        let (config, not_after) = server_config(tls)?;
        let metrics = gateway.metrics.tls.clone();
        metrics.taken(not_after);
        Ok(Self { config: ArcSwap::from_pointee(config), metrics })
    }

    /// Goes by this from now on.
    ///
    /// # Errors
    /// See [`TlsError`]: then it goes on by what it had. It is counted as refused.
    pub fn replace(&self, tls: &ServerTls) -> Result<(), TlsError> {
        let (config, not_after) = server_config(tls).inspect_err(|_| self.refused())?;
        self.config.store(Arc::new(config));
        self.metrics.taken(not_after);
        Ok(())
    }

    /// Counts a pair that could not even be read.
    pub fn refused(&self) {
        self.metrics.refused();
    }

    /// Shakes hands with a client that has connected. `None` where that failed, or took longer than `limit`.
    pub(crate) async fn accept(&self, stream: TcpStream, limit: Duration) -> Option<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        let failure = match timeout(limit, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => return Some(stream),
            // Probes of load balancers only connect.
            Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it took longer than {limit:?}"),
        };
        self.metrics.handshake_failed();
        tracing::debug!(failure, "no TLS handshake with a client");
        None
    }
}

/// How to speak TLS, and until when the certificate is good, in seconds since 1970.
fn server_config(tls: &ServerTls) -> Result<(ServerConfig, Option<i64>), TlsError> {
    let unusable = |what| move |why| TlsError::unusable(what, &why);
    let chain = certificates(CERTIFICATE, &tls.certificate)?;
    let not_after = chain.first().and_then(not_after);
    let builder = ServerConfig::builder_with_provider(provider());
    let versions = [&version::TLS13, &version::TLS12];
    let builder = builder.with_protocol_versions(&versions).map_err(unusable("TLS"))?;
    let builder = match &tls.client_authorities {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let trusted = Arc::new(authorities(CLIENT_AUTHORITIES, pem)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(trusted, provider()).build();
            builder.with_client_cert_verifier(
                verifier.map_err(|why| TlsError::Unusable { what: CLIENT_AUTHORITIES, why: why.to_string() })?,
            )
        }
    };
    let mut config = builder.with_single_cert(chain, tls.key.key()?).map_err(unusable(CERTIFICATE))?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    // Sessions are kept by clients, under a key of this process that changes every few hours and with each certificate.
    config.ticketer = Ticketer::new().map_err(unusable("TLS"))?;
    Ok((config, not_after))
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}
