//! fake-gcs-server, an emulator of Google Cloud Storage, built from its Go module.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use http::Request;
use tokio::process::Command;

use super::ObjectStoreError;
use super::emulator::{Emulator, free_address};
use crate::error::LabError;
use crate::tools::{built, go, go_version, run};

/// The version of the server.
pub const FAKE_GCS_VERSION: &str = "v1.56.1";

/// The server's program; the first call builds it, in about three minutes. Blocks: call it off the async threads where
/// others wait.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn fake_gcs_binary() -> Result<PathBuf, LabError> {
    let anywhere = std::env::temp_dir();
    let version = go_version(&anywhere)?;
    let folder = built("fake-gcs-server", &[FAKE_GCS_VERSION.as_bytes(), version.as_bytes()], |folder| {
        eprintln!("building fake-gcs-server {FAKE_GCS_VERSION} (once on this machine, about three minutes)");
        let package = format!("github.com/fsouza/fake-gcs-server@{FAKE_GCS_VERSION}");
        run(go(&anywhere).env("GOBIN", folder).args(["install", "-trimpath", "-ldflags", "-s -w", &package]))?;
        Ok(())
    })?;
    Ok(folder.join("fake-gcs-server"))
}

/// A server that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct FakeGcs {
    emulator: Emulator,
}

impl FakeGcs {
    /// Runs a server on a free port of the loopback interface and waits until it takes requests. It keeps objects in memory:
    /// on a file system, names would be paths. The folder gets its log.
    ///
    /// # Errors
    /// When it cannot be built or run, or does not answer in time.
    pub async fn start(folder: &Path) -> Result<Self, LabError> {
        Self::start_at(Ipv4Addr::LOCALHOST, folder).await
    }

    /// The same at another address of the machine, such as pods reach.
    ///
    /// # Errors
    /// As [`FakeGcs::start`].
    pub async fn start_at(ip: Ipv4Addr, folder: &Path) -> Result<Self, LabError> {
        let address = free_address(ip)?;
        let mut command = Command::new(fake_gcs_binary()?);
        command.args(["-backend", "memory", "-scheme", "http", "-log-level", "warn"]);
        command.arg("-host").arg(address.ip().to_string()).arg("-port").arg(address.port().to_string());
        command.arg("-public-host").arg(address.to_string());
        Ok(Self { emulator: Emulator::start(command, folder, "fake-gcs-server", address).await? })
    }

    /// The URL of its API.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.emulator.address)
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_bucket(&self, name: &str) -> Result<(), ObjectStoreError> {
        let request = Request::post(format!("{}/storage/v1/b?project=lab", self.endpoint()));
        let request = request.header("content-type", "application/json").body(format!("{{\"name\":{name:?}}}"));
        let refused =
            |error: http::Error| ObjectStoreError::Refused { address: self.emulator.address, last: error.to_string() };
        self.emulator.tell(request.map_err(refused)?).await
    }

    /// Ends the server at once.
    ///
    /// # Errors
    /// When the process cannot be ended.
    pub async fn kill(self) -> Result<(), ObjectStoreError> {
        self.emulator.kill().await
    }
}
