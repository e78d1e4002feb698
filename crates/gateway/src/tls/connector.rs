//! TLS towards endpoints.

use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore, version};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::TlsError;
use super::pem::{authorities, certificates};
use super::{H2, HTTP_1_1, provider};
use crate::config::{ClientCertificate, Protocol, TlsSettings};

const AUTHORITIES: &str = "ca.crt, the authorities of replicas,";
const CLIENT_CERTIFICATE: &str = "tls.crt, the gateway's own certificate,";

/// Speaks TLS as a route says.
pub(crate) struct Connector {
    config: Arc<ClientConfig>,
    protocol: Protocol,
    server_name: Option<ServerName<'static>>,
    /// A certificate of the gateway's own.
    pub(crate) shows_certificate: bool,
}

/// Why TLS is not spoken with an endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSecured {
    #[error("its certificate is of an authority that is not trusted: see spec.tls.caSecretRef of the ModelRoute")]
    UnknownIssuer,
    #[error("its certificate is not for {0:?}: see spec.tls.serverName of the ModelRoute")]
    OtherName(String),
    #[error("its certificate is not good any more, or not yet: renew it, or look at the clocks")]
    Expired,
    #[error("{0:?} is no name that a certificate can have: see spec.tls.serverName of the ModelRoute")]
    NoName(String),
    #[error("it does not agree to HTTP/2 (ALPN h2), which spec.protocol GRPC needs")]
    NoHttp2,
    #[error("{0}")]
    Failed(std::io::Error),
}

impl Connector {
    pub(crate) fn new(settings: &TlsSettings, protocol: Protocol) -> Result<Self, TlsError> {
        let trusted = match &settings.authorities {
            Some(pem) => Arc::new(authorities(AUTHORITIES, pem)?),
            None => of_the_system()?,
        };
        let mut config = client_config(settings, trusted)?;
        let alpn = match protocol {
            Protocol::Http1 => HTTP_1_1,
            Protocol::Http2 => H2,
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        let shows_certificate = settings.client.is_some();
        Ok(Self { config: Arc::new(config), protocol, server_name: server_name(settings)?, shows_certificate })
    }

    /// Shakes hands with an endpoint at this host.
    pub(crate) async fn connect(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, NotSecured> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|_| NotSecured::NoName(host.to_owned()))?,
        };
        let named = name.to_str().into_owned();
        let connecting = TlsConnector::from(self.config.clone()).connect(name, stream);
        let stream = connecting.await.map_err(|error| not_secured(error, named))?;
        let is_agreed = self.protocol == Protocol::Http1 || stream.get_ref().1.alpn_protocol() == Some(H2);
        if is_agreed { Ok(stream) } else { Err(NotSecured::NoHttp2) }
    }
}

/// Whether certificates, keys and names are some that TLS can be spoken with: pure.
///
/// # Errors
/// The first one that is not.
pub fn check(settings: &TlsSettings) -> Result<(), TlsError> {
    let trusted = settings.authorities.as_ref().map(|pem| authorities(AUTHORITIES, pem)).transpose()?;
    client_config(settings, Arc::new(trusted.unwrap_or_else(RootCertStore::empty)))?;
    server_name(settings).map(drop)
}

fn client_config(settings: &TlsSettings, trusted: Arc<RootCertStore>) -> Result<ClientConfig, TlsError> {
    let unusable = |what| move |why| TlsError::unusable(what, &why);
    let builder = ClientConfig::builder_with_provider(provider());
    let versions = [&version::TLS13, &version::TLS12];
    let builder = builder.with_protocol_versions(&versions).map_err(unusable("TLS"))?;
    let builder = builder.with_root_certificates(trusted);
    match &settings.client {
        None => Ok(builder.with_no_client_auth()),
        Some(ClientCertificate { certificate, key }) => {
            let chain = certificates(CLIENT_CERTIFICATE, certificate)?;
            builder.with_client_auth_cert(chain, key.key()?).map_err(unusable(CLIENT_CERTIFICATE))
        }
    }
}

fn server_name(settings: &TlsSettings) -> Result<Option<ServerName<'static>>, TlsError> {
    let name = settings.server_name.clone().map(|name| {
        let why = format!("{name:?} is no name of a host");
        ServerName::try_from(name).map_err(|_| TlsError::Unusable { what: "spec.tls.serverName", why })
    });
    name.transpose()
}

fn not_secured(error: std::io::Error, name: String) -> NotSecured {
    use CertificateError as Is;
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            // One that was made anew under its old name signs otherwise.
            Is::UnknownIssuer | Is::BadSignature => NotSecured::UnknownIssuer,
            Is::NotValidForName | Is::NotValidForNameContext { .. } => NotSecured::OtherName(name),
            Is::Expired | Is::ExpiredContext { .. } | Is::NotValidYet | Is::NotValidYetContext { .. } => {
                NotSecured::Expired
            }
            _ => NotSecured::Failed(error),
        },
        Some(
            rustls::Error::NoApplicationProtocol
            | rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol),
        ) => NotSecured::NoHttp2,
        _ => NotSecured::Failed(error),
    }
}

/// What the system trusts, read once.
fn of_the_system() -> Result<Arc<RootCertStore>, TlsError> {
    static TRUSTED: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let trusted = TRUSTED.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "certificates of authorities that the system trusts cannot be read");
        }
        let mut trusted = RootCertStore::empty();
        trusted.add_parsable_certificates(found.certs);
        Arc::new(trusted)
    });
    if trusted.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(trusted.clone()) }
}
