//! A real S3 server: Garage, one node, in a folder of its own. And emulators of the stores of other clouds.
//!
//! Garage keeps keys as they are (`a//b`, `..`, control characters), which stores on top of a file system do not.

mod azurite;
mod azurite_queue;
mod emulator;
mod fake_gcs;
mod garage;
mod moto;
mod simulated;
mod versity;

pub use azurite::{AZURITE_ACCOUNT, AZURITE_KEY, AZURITE_VERSION, Azurite, azurite_script, azurite_signature};
pub use azurite_queue::AzuriteQueue;
pub use fake_gcs::{FAKE_GCS_VERSION, FakeGcs, fake_gcs_binary};
pub use garage::{GARAGE_VERSION, garage_binary};
pub use moto::{MOTO_KEY, MOTO_REGION, Moto};
pub use simulated::{Asked, Contents, Fault, SIMULATED_KEY, SimulatedBucket, SimulatedS3};
pub use versity::{VERSITY_KEY, VERSITY_VERSION, Versity, versity_binary};

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::error::LabError;

/// The region the server expects in signatures; stores other than Amazon's mostly take this one.
pub const REGION: &str = "us-east-1";

/// Generous: a loaded machine is slow, not broken.
const LIMIT: Duration = Duration::from_mins(2);

/// One server. It says what the server is; [`ObjectStore::start`] runs it, or a caller that supervises processes itself
/// writes the configuration and runs [`ObjectStore::server_command`].
#[derive(Debug, Clone)]
pub struct ObjectStore {
    /// The `garage` program; see [`garage_binary`].
    pub binary: PathBuf,
    /// Holds configuration, data and log. It may be started again on the same folder.
    pub folder: PathBuf,
    /// Where the S3 API listens.
    pub address: SocketAddr,
    /// The port of Garage's own administration, on the same address.
    pub rpc_port: u16,
    /// The key that owns every bucket made here: `GK` and 24 hexadecimal digits.
    pub access_key_id: String,
    /// Its secret: 64 hexadecimal digits.
    pub secret_access_key: String,
    /// Put before every command, such as `nsenter --net=/run/netns/NAME`; empty runs it here.
    pub wrapper: Vec<String>,
}

/// What a key may do with a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// List and read.
    Read,
    /// List, read, write and delete.
    ReadWrite,
}

/// Why the server could not be run or told something.
#[derive(Debug, thiserror::Error)]
pub enum ObjectStoreError {
    /// A file or process operation failed.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program refused a command.
    #[error("`garage {command}` failed: {reason}")]
    Command {
        /// Its arguments.
        command: String,
        /// Its standard error.
        reason: String,
    },
    /// The server does not answer.
    #[error("the object store at {address} did not answer within {} s: {last}; see {log:?}", LIMIT.as_secs())]
    NotReady {
        /// Where it should listen.
        address: SocketAddr,
        /// The last failure.
        last: String,
        /// Its log.
        log: PathBuf,
    },
    /// It does not do what it is asked.
    #[error("the object store at {address} did not do what it was asked: {last}")]
    Refused {
        /// Where it listens.
        address: SocketAddr,
        /// What it said.
        last: String,
    },
}

fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> ObjectStoreError {
    let action = action.into();
    move |source| ObjectStoreError::System { action, source }
}

impl ObjectStore {
    /// A server on free ports of the loopback interface, for a test.
    ///
    /// # Errors
    /// When no port is free, or the program cannot be built.
    pub fn on_loopback(folder: PathBuf) -> Result<Self, LabError> {
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(system("find a free port"));
        // Both are held until both are known, so that they differ.
        let (api, rpc) = (free()?, free()?);
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        let (api, rpc) =
            (port(&api).map_err(system("find a free port"))?, port(&rpc).map_err(system("find a free port"))?);
        Ok(Self {
            binary: garage_binary()?,
            folder,
            address: (Ipv4Addr::LOCALHOST, api).into(),
            rpc_port: rpc,
            access_key_id: format!("GK{:024x}", 1),
            secret_access_key: format!("{:064x}", 1),
            wrapper: Vec::new(),
        })
    }

    /// The URL of its S3 API.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("garage.log")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("garage.toml")
    }

    /// Writes the configuration into the folder, which is made when it is not there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config(&self) -> Result<(), ObjectStoreError> {
        let rpc = SocketAddr::new(self.address.ip(), self.rpc_port);
        // Durability is left to a folder that a crash of the machine may take: tests should not wait for disks.
        let config = format!(
            r#"metadata_dir = "{folder}/meta"
data_dir = "{folder}/data"
db_engine = "sqlite"
metadata_fsync = false
data_fsync = false
replication_factor = 1
rpc_bind_addr = "{rpc}"
rpc_public_addr = "{rpc}"
rpc_secret = "{secret}"

[s3_api]
s3_region = "{REGION}"
api_bind_addr = "{address}"
"#,
            folder = self.folder.display(),
            secret = self.secret_access_key,
            address = self.address,
        );
        std::fs::create_dir_all(&self.folder).map_err(system(format!("make the folder {}", self.folder.display())))?;
        std::fs::write(self.config(), config).map_err(system(format!("write {}", self.config().display())))
    }

    fn command(&self) -> Command {
        let mut words = self.wrapper.iter().map(AsRef::as_ref).chain([self.binary.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or(self.binary.as_os_str()));
        command.args(words).arg("-c").arg(self.config());
        // The secret in the configuration may be read by others than its owner: it guards nothing but this test server.
        command.env("GARAGE_ALLOW_WORLD_READABLE_SECRETS", "true");
        command
    }

    /// The command that runs the server until it is ended by a signal.
    #[must_use]
    pub fn server_command(&self) -> Command {
        let mut command = self.command();
        command.args(["server", "--single-node", "--default-access-key"]);
        command.env("GARAGE_DEFAULT_ACCESS_KEY", &self.access_key_id);
        command.env("GARAGE_DEFAULT_SECRET_KEY", &self.secret_access_key);
        command.env("RUST_LOG", "garage=info");
        command
    }

    /// Runs the server and waits until it answers. It ends when the value is dropped.
    ///
    /// # Errors
    /// When it cannot be run, or does not answer in time.
    pub async fn start(self) -> Result<RunningObjectStore, ObjectStoreError> {
        self.write_config()?;
        let log = File::options().create(true).append(true).open(self.log()).map_err(system("open the log"))?;
        let errors = log.try_clone().map_err(system("open the log"))?;
        let mut command = self.server_command();
        command.stdin(Stdio::null()).stdout(log).stderr(errors).kill_on_drop(true);
        let process = command.spawn().map_err(system(format!("run {}", self.binary.display())))?;
        let running = RunningObjectStore { store: self, process };
        running.store.wait_until_ready().await?;
        Ok(running)
    }

    /// Waits until the server takes commands.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn wait_until_ready(&self) -> Result<(), ObjectStoreError> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            // A key's listing needs what every later request needs: the server, its metadata and the default key.
            match self.tell(&["key", "info", &self.access_key_id]).await {
                Ok(()) => return Ok(()),
                Err(error) if tokio::time::Instant::now() >= deadline => {
                    let (last, log) = (error.to_string(), self.log());
                    return Err(ObjectStoreError::NotReady { address: self.address, last, log });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Makes a bucket that the server's own key owns. One that is there is no error.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_bucket(&self, name: &str) -> Result<(), ObjectStoreError> {
        if self.tell(&["bucket", "info", name]).await.is_err() {
            self.tell(&["bucket", "create", name]).await?;
        }
        self.tell(&["bucket", "allow", "--read", "--write", "--owner", name, "--key", &self.access_key_id]).await
    }

    /// Makes a key with a secret (forms as in [`ObjectStore`]) that may use this bucket only so.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn grant(&self, key: &str, secret: &str, bucket: &str, access: Access) -> Result<(), ObjectStoreError> {
        if self.tell(&["key", "info", key]).await.is_err() {
            self.tell(&["key", "import", "--yes", key, secret]).await?;
        }
        let mut command = vec!["bucket", "allow", "--read", bucket, "--key", key];
        command.extend((access == Access::ReadWrite).then_some("--write"));
        self.tell(&command).await
    }

    async fn tell(&self, arguments: &[&str]) -> Result<(), ObjectStoreError> {
        let mut command = self.command();
        let output = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
        let output = output.await.map_err(system(format!("run {}", self.binary.display())))?;
        if output.status.success() {
            return Ok(());
        }
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(ObjectStoreError::Command { command: arguments.join(" "), reason })
    }
}

/// A server that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct RunningObjectStore {
    /// What it is.
    pub store: ObjectStore,
    process: Child,
}

impl RunningObjectStore {
    /// Ends the server at once, as a machine that loses power does. Its folder stays: [`ObjectStore::start`] continues it.
    ///
    /// # Errors
    /// When the process cannot be ended.
    pub async fn kill(mut self) -> Result<ObjectStore, ObjectStoreError> {
        self.process.kill().await.map_err(system("end the object store"))?;
        Ok(self.store)
    }
}
