//! Azurite, Microsoft's emulator of Azure Blob Storage, from npm.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use http::Request;
use rcgen::{CertificateParams, KeyPair};
use reqsign_azure_storage::{RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Signer};
use tokio::process::Command;

use super::ObjectStoreError;
use super::emulator::{Emulator, free_address};
use crate::error::LabError;
use crate::state::write_atomically;
use crate::tools::{built, install_from_npm};

/// The version of the server, from npm: the last one that runs on Node.js 20.
pub const AZURITE_VERSION: &str = "3.35.0";

/// The account, and the key that Azurite and all its users know; it guards nothing.
pub const AZURITE_ACCOUNT: &str = "devstoreaccount1";
/// The account's key.
pub const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The script that runs the server; the first call installs it, in about a minute. Blocks: call it off the async threads
/// where others wait.
///
/// # Errors
/// When npm is missing or the installation fails.
pub fn azurite_script() -> Result<PathBuf, LabError> {
    service("blob")
}

/// The script that runs the server of queues.
pub(super) fn azurite_queue_script() -> Result<PathBuf, LabError> {
    service("queue")
}

fn service(name: &str) -> Result<PathBuf, LabError> {
    let folder = built("azurite", &[AZURITE_VERSION.as_bytes()], |folder| {
        eprintln!("installing Azurite {AZURITE_VERSION} (once on this machine, about a minute)");
        install_from_npm(folder, "azurite", AZURITE_VERSION)
    })?;
    Ok(folder.join("node_modules/azurite/dist/src").join(name).join("main.js"))
}

/// A shared access signature for the whole account until 2099, with permissions such as `rwdlac`: what a person makes in the
/// portal, as the query of a URL.
#[must_use]
pub fn azurite_signature(permissions: &str) -> String {
    let (version, services, resources, end) = ("2021-12-02", "b", "sco", "2099-01-01T00:00:00Z");
    let text = format!("{AZURITE_ACCOUNT}\n{permissions}\n{services}\n{resources}\n\n{end}\n\n\n{version}\n\n");
    let key = base64::engine::general_purpose::STANDARD.decode(AZURITE_KEY).unwrap_or_default();
    let signature = reqsign_core::hash::base64_hmac_sha256(&key, text.as_bytes());
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("?sv={version}&ss={services}&srt={resources}&sp={permissions}&se={end}&sig={signature}")
}

fn command(address: SocketAddr) -> Result<Command, LabError> {
    let mut command = Command::new("node");
    command.arg(azurite_script()?).args(["--inMemoryPersistence", "--disableTelemetry", "--silent"]);
    command.arg("--blobHost").arg(address.ip().to_string()).arg("--blobPort").arg(address.port().to_string());
    // Programs that are measured against it speak newer versions of the protocol than it knows.
    command.args(["--extentMemoryLimit", "1024", "--skipApiVersionCheck"]);
    Ok(command)
}

/// A server that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct Azurite {
    emulator: Emulator,
    /// The certificate that it is known by, where it speaks TLS.
    certificate: Option<Certificate>,
}

#[derive(Debug)]
struct Certificate {
    der: Vec<u8>,
    file: PathBuf,
}

impl Azurite {
    /// Runs a server on a free port of the loopback interface and waits until it takes requests. The folder gets its log.
    ///
    /// # Errors
    /// When it cannot be installed or run, or does not answer in time.
    pub async fn start(folder: &Path) -> Result<Self, LabError> {
        Self::start_at(Ipv4Addr::LOCALHOST, folder).await
    }

    /// The same at another address of the machine, such as pods reach.
    ///
    /// # Errors
    /// As [`Azurite::start`].
    pub async fn start_at(ip: Ipv4Addr, folder: &Path) -> Result<Self, LabError> {
        let address = free_address(ip)?;
        let emulator = Emulator::start(command(address)?, folder, "azurite", address).await?;
        Ok(Self { emulator, certificate: None })
    }

    /// The same over TLS, and with tokens of Entra too: it looks at whom they are for and when they end, not at signatures.
    ///
    /// # Errors
    /// As [`Azurite::start`], and when the certificate cannot be made or written.
    pub async fn start_with_tokens(folder: &Path) -> Result<Self, LabError> {
        let address = free_address(Ipv4Addr::LOCALHOST)?;
        let key = KeyPair::generate()?;
        let made = CertificateParams::new([address.ip().to_string()])?.self_signed(&key)?;
        let file = folder.join("azurite.crt");
        std::fs::create_dir_all(folder).map_err(LabError::file("make", folder))?;
        write_atomically(&file, made.pem().as_bytes())?;
        write_atomically(&folder.join("azurite.key"), key.serialize_pem().as_bytes())?;
        let mut command = command(address)?;
        command.args(["--oauth", "basic", "--cert"]).arg(&file).arg("--key").arg(folder.join("azurite.key"));
        let emulator = Emulator::start(command, folder, "azurite", address).await?;
        Ok(Self { emulator, certificate: Some(Certificate { der: made.der().to_vec(), file }) })
    }

    /// The file of the certificate that it is known by (PEM), where it speaks TLS.
    #[must_use]
    pub fn certificate(&self) -> Option<&Path> {
        self.certificate.as_ref().map(|certificate| certificate.file.as_path())
    }

    /// The URL of its blob service.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/{AZURITE_ACCOUNT}", self.emulator.address)
    }

    /// Makes a container.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_bucket(&self, name: &str) -> Result<(), ObjectStoreError> {
        let invalid = |error: &dyn std::error::Error| ObjectStoreError::Refused {
            address: self.emulator.address,
            last: error.to_string(),
        };
        let url = format!("{}/{name}?restype=container", self.endpoint());
        let request = Request::put(url).header("x-ms-version", "2021-12-02").header("content-length", 0);
        let (mut head, ()) = request.body(()).map_err(|error| invalid(&error))?.into_parts();
        let key = StaticCredentialProvider::new_shared_key(AZURITE_ACCOUNT, AZURITE_KEY);
        let signer = Signer::new(Context::new(), key, RequestSigner::new());
        signer.sign(&mut head, None).await.map_err(|error| invalid(&error))?;
        let Some(certificate) = &self.certificate else {
            return self.emulator.tell(Request::from_parts(head, String::new())).await;
        };
        // A client that can be told whom to trust: what is asked is nothing of Kubernetes.
        let url = format!("https://{}", self.emulator.address)
            .parse()
            .map_err(|error: http::uri::InvalidUri| invalid(&error))?;
        let mut config = kube::Config::new(url);
        config.root_cert = Some(vec![certificate.der.clone()]);
        let client = kube::Client::try_from(config).map_err(|error| invalid(&error))?;
        client.request_text(Request::from_parts(head, Vec::new())).await.map(drop).map_err(|error| invalid(&error))
    }

    /// Ends the server at once.
    ///
    /// # Errors
    /// When the process cannot be ended.
    pub async fn kill(self) -> Result<(), ObjectStoreError> {
        self.emulator.kill().await
    }
}
