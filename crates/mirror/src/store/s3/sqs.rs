//! Amazon SQS, by its JSON protocol:
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-json.html>.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};

use super::classify::answer;
use super::connect::{DEFAULT_REGION, credential_source};
use super::signing::Signer;
use crate::store::credentials::exchange;
use crate::store::http::{Answer, Chunks, Failure, Http};
use crate::store::queue::{check_url, place_of};
use crate::store::retry::Requests;
use crate::{
    Checksum, ConnectOptions, Credentials, Place, QueueMessage, S3Location, Sha256, StoreError, StoreErrorKind,
};

/// What one request reads or removes at most.
const BATCH: usize = 10;
/// How long the service waits for the first message, in seconds: the longest it offers, so that an empty queue costs little.
const WAIT: u64 = 20;

/// A queue of Amazon SQS, or of a service that speaks as it.
pub struct SqsQueue {
    http: Http,
    signer: Option<Signer>,
    /// The service.
    endpoint: String,
    url: String,
    place: Place,
    options: Requests,
}

impl fmt::Debug for SqsQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsQueue").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Received {
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(rename = "MessageId")]
    id: String,
    receipt_handle: String,
    body: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Removed {
    #[serde(default)]
    failed: Vec<Value>,
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html>
#[derive(Deserialize, Default)]
struct Refused {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(default)]
    message: String,
}

impl SqsQueue {
    pub(in crate::store) async fn connect(
        url: &str,
        location: &S3Location,
        credentials: Credentials,
        options: ConnectOptions,
    ) -> Result<Self, StoreError> {
        let place = place_of(url);
        let rejected = |detail| place.error(StoreErrorKind::Rejected, "use the queue", detail);
        let uri = check_url(url).map_err(rejected)?;
        let (source, known) = credential_source(location, credentials, &place).await?;
        let region = region_of(uri.host().unwrap_or_default()).map(str::to_owned);
        let region = region.or_else(|| location.region.clone()).or(known).unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        Ok(Self {
            http: Http::new(options).map_err(rejected)?,
            signer: source.map(|source| Signer::new("sqs", &region, source)),
            endpoint: format!("{}://{authority}/", uri.scheme_str().unwrap_or("https")),
            url: url.to_owned(),
            place,
            options: options.into(),
        })
    }

    pub(in crate::store) async fn receive(&self) -> Result<Vec<QueueMessage>, StoreError> {
        let wanted = json!({"QueueUrl": self.url, "MaxNumberOfMessages": BATCH, "WaitTimeSeconds": WAIT});
        let received: Received = self.ask("ReceiveMessage", "read the queue", &wanted).await?;
        let message = |Message { id, receipt_handle: receipt, body }: Message| QueueMessage {
            body: body.into_bytes(),
            id,
            receipt,
        };
        Ok(received.messages.into_iter().map(message).collect())
    }

    pub(in crate::store) async fn remove(&self, messages: &[QueueMessage]) -> Result<(), StoreError> {
        const ACTION: &str = "remove messages";
        for batch in messages.chunks(BATCH) {
            let entry = |(index, message): (usize, &QueueMessage)| json!({"Id": index.to_string(), "ReceiptHandle": message.receipt});
            let entries: Vec<_> = batch.iter().enumerate().map(entry).collect();
            let wanted = json!({"QueueUrl": self.url, "Entries": entries});
            let removed: Removed = self.ask("DeleteMessageBatch", ACTION, &wanted).await?;
            if let Some(first) = removed.failed.first() {
                let said = first.get("Message").or_else(|| first.get("Code")).unwrap_or(first);
                return Err(self.place.error(StoreErrorKind::Unavailable, ACTION, said.to_string()));
            }
        }
        Ok(())
    }

    async fn ask<T: for<'a> Deserialize<'a>>(
        &self,
        operation: &str,
        action: &str,
        body: &Value,
    ) -> Result<T, StoreError> {
        let body = Bytes::from(body.to_string());
        let answer = self.options.retry.run(|| self.attempt(operation, action, &body)).await?;
        serde_json::from_slice(&answer.body).map_err(|error| {
            let detail = format!("the answer cannot be read: {error}");
            self.place.error(StoreErrorKind::Protocol, action, detail)
        })
    }

    async fn attempt(&self, operation: &str, action: &str, body: &Bytes) -> Result<Answer, StoreError> {
        let attempt = async {
            let request = Request::post(&self.endpoint)
                .header(CONTENT_TYPE, "application/x-amz-json-1.0")
                .header(CONTENT_LENGTH, body.len())
                .header("x-amz-target", format!("AmazonSQS.{operation}"))
                .body(Chunks::from(body.clone()))
                .map_err(|error| Failure::new(StoreErrorKind::Rejected, error.to_string()))?;
            let send = |request| self.http.succeed_within(Duration::from_secs(WAIT), request, failure);
            exchange(&self.signer, request, Some(Checksum::Sha256(Sha256::of(body))), send).await
        };
        attempt.await.map_err(|failure| failure.at(&self.place, action))
    }
}

fn failure(answer_of: &Answer) -> Failure {
    let Refused { kind, message } = serde_json::from_slice(&answer_of.body).unwrap_or_default();
    let code = kind.rsplit('#').next().unwrap_or_default();
    let code = match code {
        "QueueDoesNotExist" | "NonExistentQueue" => "NoSuchBucket",
        "AccessDeniedException" => "AccessDenied",
        "UnrecognizedClientException" | "InvalidClientTokenId" => "InvalidAccessKeyId",
        "InvalidSignatureException" => "SignatureDoesNotMatch",
        "RequestThrottled" => "Throttling",
        other => other,
    };
    answer(answer_of.status.as_u16(), code, &message, None).with(&answer_of.headers)
}

/// The region in the name of one of Amazon's hosts.
fn region_of(host: &str) -> Option<&str> {
    let mut labels = host.split('.');
    let is_amazon = host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
    (is_amazon && labels.next() == Some("sqs")).then(|| labels.next()).flatten()
}

#[cfg(test)]
mod tests {
    use super::region_of;

    #[test]
    fn amazon_s_hosts_tell_their_region() {
        assert_eq!(region_of("sqs.eu-west-1.amazonaws.com"), Some("eu-west-1"));
        assert_eq!(region_of("sqs.cn-north-1.amazonaws.com.cn"), Some("cn-north-1"));
        assert_eq!((region_of("127.0.0.1"), region_of("sqs.example.com")), (None, None));
    }
}
