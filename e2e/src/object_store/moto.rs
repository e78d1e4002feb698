//! Moto: S3 whose buckets notify queues of SQS. Signatures are not checked.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use http::Request;
use http::request::Builder;
use tokio::process::Command;

use super::ObjectStoreError;
use super::emulator::{Emulator, free_address};
use crate::artifacts::python_with_moto;
use crate::error::LabError;

/// The region that it is in.
pub const MOTO_REGION: &str = "us-east-1";
/// A key that it takes, as any: the identifier and the secret.
pub const MOTO_KEY: (&str, &str) = ("moto", "secret");
/// Whose queues these are.
const ACCOUNT: &str = "123456789012";

/// A server that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct Moto {
    emulator: Emulator,
}

impl Moto {
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
    /// As [`Moto::start`].
    pub async fn start_at(ip: Ipv4Addr, folder: &Path) -> Result<Self, LabError> {
        let address = free_address(ip)?;
        let mut command = Command::from(python_with_moto()?);
        command.args(["-m", "moto.server", "-H", &ip.to_string(), "-p", &address.port().to_string()]);
        Ok(Self { emulator: Emulator::start(command, folder, "moto", address).await? })
    }

    /// The URL of all its services.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The URL of a queue.
    #[must_use]
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.endpoint())
    }

    fn address(&self) -> SocketAddr {
        self.emulator.address
    }

    /// Makes a queue, and a bucket that notifies it of every object that comes or goes.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_notified_bucket(&self, bucket: &str, queue: &str) -> Result<(), ObjectStoreError> {
        let endpoint = self.endpoint();
        let made = Request::post(&endpoint)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", "AmazonSQS.CreateQueue");
        self.tell("sqs", made, format!("{{\"QueueName\":\"{queue}\"}}")).await?;
        self.tell("s3", Request::put(format!("{endpoint}/{bucket}")), String::new()).await?;
        let notified = format!(
            "<NotificationConfiguration><QueueConfiguration><Id>changes</Id>\
             <Queue>arn:aws:sqs:{MOTO_REGION}:{ACCOUNT}:{queue}</Queue>\
             <Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event></QueueConfiguration></NotificationConfiguration>"
        );
        self.tell("s3", Request::put(format!("{endpoint}/{bucket}?notification")), notified).await
    }

    /// The signature only says which service is meant.
    async fn tell(&self, service: &str, request: Builder, body: String) -> Result<(), ObjectStoreError> {
        let (key, _) = MOTO_KEY;
        let scope = format!("{key}/20260101/{MOTO_REGION}/{service}/aws4_request");
        let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let refused =
            |error: http::Error| ObjectStoreError::Refused { address: self.address(), last: error.to_string() };
        let request = request.header("authorization", authorization).body(body).map_err(refused)?;
        self.emulator.tell(request).await
    }
}
