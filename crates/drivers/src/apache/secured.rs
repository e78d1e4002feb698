//! TLS with the balancer-manager.

use std::io::{Error, Result};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Speaks TLS with who has a certificate of this name by one of these authorities. They are read each time: they may be renewed.
pub(super) async fn connect(authorities: &Path, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
    let text = tokio::fs::read(authorities).await.map_err(|error| unusable(authorities, &error))?;
    let mut trusted = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unusable(authorities, &error))?;
        trusted.add(certificate).map_err(|error| unusable(authorities, &error))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(Error::other)?;
    let config = config.with_root_certificates(trusted).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn unusable(authorities: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::other(format!("the authorities in {} cannot be used: {why}", authorities.display()))
}
