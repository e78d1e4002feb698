//! The certificate that clients are shown: from files, and again when these change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use skyfleet_gateway::Gateway;
use skyfleet_gateway::tls::{Acceptor, PrivatePem, ServerTls, TlsError};
use tokio::time::{MissedTickBehavior, interval};

use super::args::TlsArgs;

/// How often the files are looked at. Kubernetes exchanges those of a Secret some minute after it has changed.
const EVERY: Duration = Duration::from_secs(10);

/// Where certificate, key and authorities are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// Why TLS cannot be spoken to clients.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error("cannot read {0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    #[error("cannot use the certificate in {0} with the key in {1}: {2}")]
    Unusable(PathBuf, PathBuf, TlsError),
}

impl Files {
    /// `None` where clients are to speak in clear text.
    pub(super) fn of(args: &TlsArgs) -> Option<Self> {
        let (certificate, key) = args.certificate.clone().zip(args.key.clone())?;
        Some(Self { certificate, key, client_ca: args.client_ca.clone() })
    }

    /// What they have now.
    ///
    /// # Errors
    /// One of them cannot be read.
    async fn read(&self) -> Result<ServerTls, FilesError> {
        let client_authorities = match &self.client_ca {
            Some(path) => Some(read(path).await?),
            None => None,
        };
        let (certificate, key) = (read(&self.certificate).await?, read(&self.key).await?);
        Ok(ServerTls { certificate, key: PrivatePem::new(key), client_authorities })
    }

    fn unusable(&self, error: TlsError) -> FilesError {
        FilesError::Unusable(self.certificate.clone(), self.key.clone(), error)
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, FilesError> {
    tokio::fs::read(path).await.map_err(|error| FilesError::Unreadable(path.to_owned(), error))
}

/// What takes connections of clients by TLS, and what has it go by the files, as long as it is polled.
///
/// # Errors
/// The files cannot be read or used. Later that is told in the log and the metrics, and the pair of before stays.
pub(super) async fn acceptor(
    gateway: &Gateway,
    files: Files,
) -> Result<(Arc<Acceptor>, impl Future<Output = ()> + Send + use<>), FilesError> {
    let first = files.read().await?;
    let acceptor = Arc::new(Acceptor::new(gateway, &first).map_err(|error| files.unusable(error))?);
    let follows = follow(acceptor.clone(), files, first);
    Ok((acceptor, follows))
}

async fn follow(acceptor: Arc<Acceptor>, files: Files, first: ServerTls) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Looked::Read(first);
    loop {
        ticks.tick().await;
        last = look(&acceptor, &files, last).await;
    }
}

/// What was found the last time: each finding is acted on, and told, once.
#[derive(Debug, PartialEq, Eq)]
enum Looked {
    Read(ServerTls),
    Unreadable(String),
}

impl Looked {
    async fn at(files: &Files) -> Self {
        files.read().await.map_or_else(|error| Self::Unreadable(error.to_string()), Self::Read)
    }
}

async fn look(acceptor: &Acceptor, files: &Files, last: Looked) -> Looked {
    let now = Looked::at(files).await;
    if now == last {
        return last;
    }
    // One file may be of before and another one of after an exchange: then it is looked again the next time.
    if Looked::at(files).await != now {
        return last;
    }
    match &now {
        Looked::Read(tls) => match acceptor.replace(tls) {
            Ok(()) => tracing::info!(certificate = %files.certificate.display(), "clients are shown a new certificate"),
            Err(error) => {
                let error = files.unusable(error);
                tracing::error!(%error, "clients are still shown the certificate of before");
            }
        },
        Looked::Unreadable(error) => {
            acceptor.refused();
            tracing::error!(error, "clients are still shown the certificate of before");
        }
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str) -> [String; 2] {
        let issued = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        [issued.cert.pem(), issued.signing_key.serialize_pem()]
    }

    fn loads(gateway: &Gateway) -> Vec<(String, u64)> {
        let text = gateway.metrics().expect("metrics");
        let lines = text.lines().filter_map(|line| line.strip_prefix("skyfleet_gateway_certificate_loads_total"));
        let mut loads: Vec<_> = lines
            .filter_map(|line| line.split_once(' '))
            .map(|(labels, count)| (labels.replace(['{', '}', '"'], ""), count.parse().expect("a number")))
            .collect();
        loads.sort();
        loads
    }

    #[tokio::test]
    async fn each_change_of_the_files_is_acted_on_once() {
        let ([certificate, key], [other_certificate, other_key]) = (pair("one"), pair("other"));
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let write = |[certificate, key]: [&String; 2]| {
            std::fs::write(path("tls.crt"), certificate).expect("written");
            std::fs::write(path("tls.key"), key).expect("written");
        };
        let files = Files { certificate: path("tls.crt"), key: path("tls.key"), client_ca: None };
        let gateway = Gateway::default();
        assert!(matches!(acceptor(&gateway, files.clone()).await.err(), Some(FilesError::Unreadable(..))));
        write([&certificate, &other_key]);
        let error = acceptor(&gateway, files.clone()).await.err().expect("no pair").to_string();
        assert!(error.contains("not that of the certificate") && error.contains("tls.key"), "{error}");
        write([&certificate, &key]);
        let (acceptor, _) = acceptor(&gateway, files.clone()).await.expect("a pair");
        let mut last = Looked::Read(files.read().await.expect("read"));
        for (step, (taken, refused)) in [
            (None, (1, 0)),
            (Some([&other_certificate, &key]), (1, 1)),
            (Some([&other_certificate, &other_key]), (2, 1)),
        ] {
            if let Some(pair) = step {
                write(pair);
            }
            for _ in 0..2 {
                last = look(&acceptor, &files, last).await;
                let expected = [("outcome=refused".to_owned(), refused), ("outcome=taken".to_owned(), taken)];
                assert_eq!(loads(&gateway), expected);
            }
        }
        std::fs::remove_file(path("tls.key")).expect("removed");
        last = look(&acceptor, &files, last).await;
        assert!(matches!(last, Looked::Unreadable(_)));
        assert_eq!(loads(&gateway)[0].1, 2);
    }
}
