//! Certificates and keys as text.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TlsError;

/// A private key as PEM. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivatePem(Arc<[u8]>);

impl PrivatePem {
    /// Takes the text of a private key.
    #[must_use]
    pub fn new(pem: impl Into<Arc<[u8]>>) -> Self {
        Self(pem.into())
    }

    /// The text itself, for who has to hand it on.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        // What is wrong with a key is not told: it would have a part of it.
        PrivateKeyDer::from_pem_slice(&self.0).map_err(|_| TlsError::NoKey)
    }
}

impl fmt::Debug for PrivatePem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivatePem(..)")
    }
}

/// All certificates of a text, at least one.
pub(super) fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|why| TlsError::NotPem { what, why })?;
    if certificates.is_empty() { Err(TlsError::NoCertificate { what }) } else { Ok(certificates) }
}

/// Authorities that are trusted.
pub(super) fn authorities(what: &'static str, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut trusted = RootCertStore::empty();
    for certificate in certificates(what, pem)? {
        trusted.add(certificate).map_err(|why| TlsError::unusable(what, &why))?;
    }
    Ok(trusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_shown() {
        let key = PrivatePem::new(*b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY");
        assert_eq!(format!("{key:?}"), "PrivatePem(..)");
        assert!(!key.key().unwrap_err().to_string().contains("c2VjcmV0"));
    }

    #[test]
    fn what_is_no_certificate_is_told() {
        for (pem, said) in [
            ("", "has no certificate"),
            ("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n", "cannot be read as PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used"),
        ] {
            let error = authorities("the file a.pem", pem.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("the file a.pem ") && error.contains(said), "{error}");
        }
    }
}
