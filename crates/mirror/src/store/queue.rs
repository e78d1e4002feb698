//! Queues in which a cloud puts what changes in a bucket.

use http::Uri;

use super::azure::AzureQueue;
use super::s3::SqsQueue;
use crate::{ConnectOptions, Place, StoreAccess, StoreError, StoreErrorKind};

/// A queue of a bucket's cloud, asked as the bucket is. `Debug` never shows a secret.
#[derive(Debug)]
pub enum NotificationQueue {
    /// Amazon SQS.
    Sqs(SqsQueue),
    /// A queue of Azure Storage.
    Azure(AzureQueue),
}

/// A message that is the reader's for a while: it comes again unless it is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueMessage {
    /// What was sent.
    pub body: Vec<u8>,
    /// What names this message.
    pub(crate) id: String,
    /// What names that it was read.
    pub(crate) receipt: String,
}

impl NotificationQueue {
    /// Prepares to read a queue by its URL, such as `https://sqs.eu-west-1.amazonaws.com/123456789012/changes` or
    /// `https://ACCOUNT.queue.core.windows.net/changes`.
    ///
    /// # Errors
    /// When the URL cannot be one, there are no credentials, or the cloud's queues are not read.
    pub async fn connect(access: StoreAccess, url: &str, options: ConnectOptions) -> Result<Self, StoreError> {
        match access {
            StoreAccess::S3(location, credentials) => {
                SqsQueue::connect(url, &location, credentials, options).await.map(Self::Sqs)
            }
            StoreAccess::Azure(location, credentials) => {
                AzureQueue::connect(url, &location.account, credentials, options).await.map(Self::Azure)
            }
            StoreAccess::Gcs(..) => {
                let detail = "subscriptions of Pub/Sub are not read: let one push to the Bucket's webhook";
                Err(place_of(url).error(StoreErrorKind::Rejected, "use the queue", detail))
            }
        }
    }

    /// Messages that nobody else gets for a while; none where there are none. Waits some seconds for the first one where the service
    /// can.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub async fn receive(&self) -> Result<Vec<QueueMessage>, StoreError> {
        match self {
            Self::Sqs(queue) => queue.receive().await,
            Self::Azure(queue) => queue.receive().await,
        }
    }

    /// Removes messages for good.
    ///
    /// # Errors
    /// When one cannot be removed: it comes again.
    pub async fn remove(&self, messages: &[QueueMessage]) -> Result<(), StoreError> {
        match self {
            Self::Sqs(queue) => queue.remove(messages).await,
            Self::Azure(queue) => queue.remove(messages).await,
        }
    }

    /// Whether a reader that got nothing has waited for something.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self, Self::Sqs(_))
    }
}

/// What messages call a queue.
pub(super) fn place_of(url: &str) -> Place {
    let (endpoint, name) = url.rsplit_once('/').unwrap_or((url, ""));
    Place { endpoint: endpoint.into(), bucket: name.into(), prefix: "".into() }
}

/// The parts of a queue's URL; the error says what is wrong with it.
pub(super) fn check_url(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_http || uri.host().is_none() || uri.path().len() < 2 || uri.query().is_some() {
        return Err(format!("{url:?} must be https://HOST/QUEUE, without a query"));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::check_url;

    #[test]
    fn a_queue_is_named_by_its_url() {
        for url in ["https://sqs.eu-west-1.amazonaws.com/1/q", "http://127.0.0.1:10001/devstoreaccount1/q"] {
            assert!(check_url(url).is_ok(), "{url}");
        }
        for url in ["", "q", "ftp://h/q", "https://h", "https://h/", "https://h/q?sig=x"] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}
