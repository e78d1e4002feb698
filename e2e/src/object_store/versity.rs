//! Versity's S3 gateway over a folder, built from its Go module: a real server that has what Garage has not, such as tags and
//! conditional writes. Its keys are paths, so odd ones are Garage's.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::emulator::{Emulator, free_address};
use super::{ObjectStoreError, system};
use crate::error::LabError;
use crate::tools::go_program;

/// The version of the server.
pub const VERSITY_VERSION: &str = "v1.8.0";

/// The key that the server knows.
pub const VERSITY_KEY: (&str, &str) = ("versity", "versity-secret");

/// The server's program; the first call builds it, in about three minutes. Blocks: call it off the async threads where
/// others wait.
///
/// # Errors
/// When Go is missing or the build fails.
pub fn versity_binary() -> Result<PathBuf, LabError> {
    go_program("versitygw", "github.com/versity/versitygw/cmd/versitygw", VERSITY_VERSION)
}

/// A server that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct Versity {
    emulator: Emulator,
    root: PathBuf,
}

impl Versity {
    /// Runs a server on a free port of the loopback interface and waits until it takes requests. The folder gets its data and its
    /// log.
    ///
    /// # Errors
    /// When it cannot be built or run, or does not answer in time.
    pub async fn start(folder: &Path) -> Result<Self, LabError> {
        let address = free_address(Ipv4Addr::LOCALHOST)?;
        let (root, metadata) = (folder.join("data"), folder.join("metadata"));
        for made in [&root, &metadata] {
            std::fs::create_dir_all(made).map_err(system(format!("make the folder {}", made.display())))?;
        }
        let mut command = Command::new(versity_binary()?);
        command.args(["--access", VERSITY_KEY.0, "--secret", VERSITY_KEY.1, "--quiet", "--keep-alive", "--port"]);
        // Not every file system has the attributes that it would keep metadata in.
        command.arg(address.to_string()).arg("posix").arg("--sidecar").arg(&metadata).arg(&root);
        Ok(Self { emulator: Emulator::start(command, folder, "versitygw", address).await?, root })
    }

    /// The URL of its API.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.emulator.address)
    }

    /// Makes a bucket, which is a folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create_bucket(&self, name: &str) -> Result<(), ObjectStoreError> {
        std::fs::create_dir_all(self.root.join(name)).map_err(system(format!("make the bucket {name}")))
    }
}
