//! Azurite's queues.

use std::net::Ipv4Addr;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Request;
use http::request::Builder;
use reqsign_azure_storage::{RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Signer};
use tokio::process::Command;

use super::azurite::azurite_queue_script;
use super::emulator::{Emulator, free_address};
use super::{AZURITE_ACCOUNT, AZURITE_KEY, ObjectStoreError};
use crate::error::LabError;

/// A server that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct AzuriteQueue {
    emulator: Emulator,
}

impl AzuriteQueue {
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
    /// As [`AzuriteQueue::start`].
    pub async fn start_at(ip: Ipv4Addr, folder: &Path) -> Result<Self, LabError> {
        let address = free_address(ip)?;
        let mut command = Command::new("node");
        command.arg(azurite_queue_script()?).args(["--inMemoryPersistence", "--disableTelemetry", "--silent"]);
        command.arg("--queueHost").arg(address.ip().to_string());
        command.arg("--queuePort").arg(address.port().to_string()).arg("--skipApiVersionCheck");
        Ok(Self { emulator: Emulator::start(command, folder, "azurite-queue", address).await? })
    }

    /// The URL of a queue.
    #[must_use]
    pub fn queue_url(&self, name: &str) -> String {
        format!("http://{}/{AZURITE_ACCOUNT}/{name}", self.emulator.address)
    }

    /// Makes a queue.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_queue(&self, name: &str) -> Result<(), ObjectStoreError> {
        self.tell(Request::put(self.queue_url(name)), String::new()).await
    }

    /// Puts a message into a queue, as Event Grid does: in Base64.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn send(&self, name: &str, message: &[u8]) -> Result<(), ObjectStoreError> {
        let text = BASE64_STANDARD.encode(message);
        let body = format!("<QueueMessage><MessageText>{text}</MessageText></QueueMessage>");
        self.tell(Request::post(format!("{}/messages", self.queue_url(name))), body).await
    }

    async fn tell(&self, request: Builder, body: String) -> Result<(), ObjectStoreError> {
        let invalid = |error: &dyn std::error::Error| ObjectStoreError::Refused {
            address: self.emulator.address,
            last: error.to_string(),
        };
        let request = request.header("x-ms-version", "2021-12-02").header("content-length", body.len());
        let (mut head, body) = request.body(body).map_err(|error| invalid(&error))?.into_parts();
        let key = StaticCredentialProvider::new_shared_key(AZURITE_ACCOUNT, AZURITE_KEY);
        let signer = Signer::new(Context::new(), key, RequestSigner::new());
        signer.sign(&mut head, None).await.map_err(|error| invalid(&error))?;
        self.emulator.tell(Request::from_parts(head, body)).await
    }
}
