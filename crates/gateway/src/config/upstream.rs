//! What is spoken to endpoints: plain data.

use crate::tls::PrivatePem;

/// Which HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: agreed on within TLS, and without TLS known beforehand.
    Http2,
}

/// TLS towards endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamTls {
    /// It is spoken so.
    Spoken(TlsSettings),
    /// It cannot be spoken, and this is why, for a person: nothing is sent in clear text instead.
    NotReady(String),
}

/// How TLS is spoken to endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// The authorities that are trusted, PEM; those of the system if not given.
    pub authorities: Option<Vec<u8>>,
    /// What the gateway shows.
    pub client: Option<ClientCertificate>,
    /// The name that certificates must have; the host of each endpoint if not given.
    pub server_name: Option<String>,
}

/// A certificate and its private key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and an authority.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: PrivatePem,
}
