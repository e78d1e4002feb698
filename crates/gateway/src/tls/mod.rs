//! TLS: towards clients ([`Acceptor`]), and towards endpoints (`Connector`). One stack, one provider of cryptography.

mod acceptor;
mod connector;
mod error;
mod metrics;
mod pem;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use acceptor::{Acceptor, ServerTls};
pub use connector::check;
pub use error::TlsError;
pub use pem::PrivatePem;

pub(crate) use connector::{Connector, NotSecured};
pub(crate) use metrics::TlsMetrics;

/// HTTP/2 and HTTP/1.1, as TLS names them (ALPN).
pub(crate) const H2: &[u8] = b"h2";
pub(crate) const HTTP_1_1: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
