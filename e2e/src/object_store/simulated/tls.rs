use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::super::{ObjectStoreError, system};

/// Speaks TLS as 127.0.0.1, by a certificate that it makes and writes to this file.
pub(super) fn acceptor(file: &Path) -> Result<TlsAcceptor, ObjectStoreError> {
    let made = || {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()])?.self_signed(&key)?;
        Ok::<_, rcgen::Error>((key, certificate))
    };
    let (key, certificate) = made().map_err(|error| system("make a certificate")(std::io::Error::other(error)))?;
    std::fs::write(file, certificate.pem()).map_err(system("write the certificate"))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key));
    let config = config.map_err(|error| system("speak TLS")(std::io::Error::other(error)))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
