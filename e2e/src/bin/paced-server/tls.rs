//! TLS with clients that show a certificate: HTTP/1.1 or HTTP/2, as they wish.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::Listener;
use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What is shown and trusted, all of it PEM.
#[derive(Args, Clone)]
pub(super) struct TlsArguments {
    /// Certificate that clients are shown; without it, all goes in clear text
    #[arg(long = "tls-certificate", env = "TLS_CERTIFICATE", required = false)]
    certificate: String,
    /// Its private key
    #[arg(long = "tls-key", env = "TLS_KEY", hide_env_values = true, required = false)]
    key: String,
    /// Authorities, of which one must have signed the certificate of a client
    #[arg(long = "tls-client-ca", env = "TLS_CLIENT_CA", required = false)]
    client_ca: String,
}

/// Takes connections and shakes hands with many clients at once.
pub(super) struct Secured {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<io::Result<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl Secured {
    pub(super) fn new(listener: TcpListener, arguments: &TlsArguments) -> io::Result<Self> {
        let config = config(arguments).map_err(|error| io::Error::other(format!("TLS cannot be spoken: {error}")))?;
        Ok(Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), handshakes: JoinSet::new() })
    }
}

fn config(arguments: &TlsArguments) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut trusted = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(arguments.client_ca.as_bytes()) {
        trusted.add(authority?)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), provider.clone()).build()?;
    let chain = CertificateDer::pem_slice_iter(arguments.certificate.as_bytes()).collect::<Result<_, _>>()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(arguments.key.as_bytes())?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

impl Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                (stream, address) = Listener::accept(&mut self.listener) => {
                    let acceptor = self.acceptor.clone();
                    self.handshakes.spawn(async move {
                        stream.set_nodelay(true)?;
                        Ok((acceptor.accept(stream).await?, address))
                    });
                }
                // What went wrong is the client's to tell: probes say nothing at all.
                Some(done) = self.handshakes.join_next() => if let Ok(Ok(secured)) = done {
                    return secured;
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
