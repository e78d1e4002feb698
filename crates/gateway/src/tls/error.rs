//! Why certificates, keys and authorities cannot be used.

use rustls::pki_types::pem;

/// Why certificates, keys or authorities cannot be used. It never has anything of a private key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// What should have certificates has something else.
    #[error("{what} cannot be read as PEM: {why:?}")]
    NotPem {
        /// Which of them.
        what: &'static str,
        /// What is wrong.
        why: pem::Error,
    },
    /// There is no certificate.
    #[error("{what} has no certificate: it must have blocks that begin with BEGIN CERTIFICATE")]
    NoCertificate {
        /// Which of them.
        what: &'static str,
    },
    /// There is no private key.
    #[error("the private key cannot be read: it must be a PEM block of PKCS#8, PKCS#1 or SEC1, without a passphrase")]
    NoKey,
    /// Certificate and key are no pair.
    #[error("the private key is not that of the certificate: give both of one pair")]
    NotAPair,
    /// The library does not take them.
    #[error("{what} cannot be used: {why}")]
    Unusable {
        /// Which of them.
        what: &'static str,
        /// What the library says.
        why: String,
    },
    /// Nobody would be trusted.
    #[error(
        "the system's certificates of authorities cannot be read, or there are none: name those that are to be trusted"
    )]
    NoAuthorities,
}

impl TlsError {
    pub(super) fn unusable(what: &'static str, why: &rustls::Error) -> Self {
        match why {
            rustls::Error::InconsistentKeys(_) => Self::NotAPair,
            _ => Self::Unusable { what, why: why.to_string() },
        }
    }
}
