//! Reads queues.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use skyfleet_mirror::{ConnectOptions, NotificationQueue, QueueMessage, StoreAccess, StoreError};
use skyfleet_stream::Notice;
use tokio_util::sync::CancellationToken;

use super::{BucketName, Streams};
use crate::operator::metrics::NoticeOutcome;

/// Between two looks at an empty queue that does not wait by itself.
const EMPTY: Duration = Duration::from_secs(2);
/// After the first failure; it doubles with each.
const FIRST_DELAY: Duration = Duration::from_secs(2);
const LONGEST_DELAY: Duration = Duration::from_mins(1);

impl Streams {
    /// Begins to read a queue, until the token is cancelled.
    pub(super) fn poll(self: &Arc<Self>, bucket: BucketName, url: String, access: StoreAccess) -> CancellationToken {
        let (stop, streams) = (CancellationToken::new(), self.clone());
        let stopped = stop.clone();
        tokio::spawn(async move {
            let reading = Box::pin(read(&streams, &bucket, &url, access));
            stopped.run_until_cancelled(reading).await
        });
        stop
    }
}

async fn read(streams: &Streams, bucket: &BucketName, url: &str, access: StoreAccess) {
    let mut delay = FIRST_DELAY;
    loop {
        let error = match NotificationQueue::connect(access.clone(), url, ConnectOptions::default()).await {
            Ok(queue) => read_on(streams, bucket, &queue, &mut delay).await,
            Err(error) => error,
        };
        tracing::warn!(%error, namespace = bucket.0, bucket = bucket.1, "the queue of notifications cannot be read");
        streams.failed(bucket, Some(error.to_string()));
        tokio::time::sleep(delay).await;
        delay = LONGEST_DELAY.min(delay * 2);
    }
}

/// Until it fails.
async fn read_on(
    streams: &Streams,
    bucket: &BucketName,
    queue: &NotificationQueue,
    delay: &mut Duration,
) -> StoreError {
    loop {
        let messages = match queue.receive().await {
            Ok(messages) => messages,
            Err(error) => return error,
        };
        *delay = FIRST_DELAY;
        streams.failed(bucket, None);
        if messages.is_empty() && !queue.waits() {
            tokio::time::sleep(EMPTY).await;
        }
        for message in &messages {
            take(streams, bucket, message);
        }
        // What is taken is kept until it is mirrored, and an operator that begins looks at everything.
        if let Err(error) = queue.remove(&messages).await {
            return error;
        }
    }
}

/// A message that cannot be read is removed too: it would come again for ever, and the next look at everything finds what it told.
fn take(streams: &Streams, bucket: &BucketName, message: &QueueMessage) {
    match Notice::parse(&message.body) {
        Ok(Notice::Changes(changes)) => streams.tell(bucket, &changes, Timestamp::now()),
        Ok(Notice::Validation(_)) => {}
        Err(error) => {
            tracing::warn!(%error, namespace = bucket.0, bucket = bucket.1, "a message in the queue is passed over");
            streams.metrics.notices(NoticeOutcome::Unreadable, 1);
        }
    }
}
