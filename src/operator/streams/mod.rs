//! What DatasetReplicas in mode Stream are told of their sources, and what of that is not mirrored yet.
//!
//! Nothing of it outlasts the operator: one that begins looks at everything first, so that what was told to an earlier one is not lost.

mod polling;
mod receiver;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use receiver::{Leading, routes};
pub(crate) use stream::{Selection, Stream};

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use skyfleet_api::DatasetReplica;
use skyfleet_mirror::{Sha256, StoreAccess};
use skyfleet_stream::{Change, Origin};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::metrics::{Metrics, NoticeOutcome};

type Reference = ObjectRef<DeserializeGuard<DatasetReplica>>;

/// A Bucket: its namespace and name.
pub(crate) type BucketName = (String, String);

/// What tells of the changes of a Bucket.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    /// The bucket, as its cloud calls it.
    pub(crate) origin: Origin,
    /// The part of it that the Bucket is.
    pub(crate) prefix: String,
    /// What a sender shows; nobody may send without one.
    pub(crate) token: Option<Vec<u8>>,
    /// The URL of a queue to read, and who reads it.
    pub(crate) queue: Option<(String, StoreAccess)>,
    /// Tells it from one with other credentials.
    pub(crate) version: String,
}

/// All streams.
pub(crate) struct Streams {
    wake: mpsc::Sender<Reference>,
    metrics: Metrics,
    /// Whether senders reach the operator.
    receives: bool,
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    /// By the UID of their DatasetReplica.
    streams: HashMap<String, Followed>,
    buckets: HashMap<BucketName, Told>,
}

struct Followed {
    bucket: BucketName,
    stream: Arc<Stream>,
}

struct Told {
    teller: Teller,
    polling: Option<CancellationToken>,
    error: Option<String>,
}

impl Streams {
    /// Those whose backlog grows are brought back to their controller by `wake`.
    pub(crate) fn new(wake: mpsc::Sender<Reference>, receives: bool, metrics: Metrics) -> Self {
        Self { wake, metrics, receives, registry: Mutex::default() }
    }

    /// Keeps what is told for a DatasetReplica from now on. One that reads something else than before begins anew.
    pub(crate) fn follow(
        self: &Arc<Self>,
        (uid, reference): (&str, Reference),
        (bucket, teller): (BucketName, Teller),
        selection: Selection,
        now: Timestamp,
    ) -> Arc<Stream> {
        let mut registry = self.lock();
        let is_as_before = registry.buckets.get(&bucket).is_some_and(|told| told.teller.version == teller.version);
        if !is_as_before {
            let polling = teller.queue.clone().map(|(url, access)| self.poll(bucket.clone(), url, access));
            if let Some(before) = registry.buckets.insert(bucket.clone(), Told { teller, polling, error: None }) {
                before.end();
            }
        }
        let known = registry.streams.get(uid).filter(|followed| followed.stream.is_of(&selection));
        let stream = known.map(|followed| followed.stream.clone());
        let stream = stream.unwrap_or_else(|| Arc::new(Stream::new(reference, selection, self.wake.clone(), now)));
        registry.streams.insert(uid.to_owned(), Followed { bucket, stream: stream.clone() });
        registry.forget_unread();
        stream
    }

    /// Keeps nothing more for a DatasetReplica.
    pub(crate) fn leave(&self, uid: &str) {
        let mut registry = self.lock();
        if registry.streams.remove(uid).is_some() {
            registry.forget_unread();
        }
    }

    /// Keeps nothing more for those that are no longer there.
    pub(crate) fn retain(&self, alive: &BTreeSet<String>) {
        let mut registry = self.lock();
        registry.streams.retain(|uid, _| alive.contains(uid));
        registry.forget_unread();
    }

    /// Why nobody can tell of a Bucket's changes, if so.
    pub(crate) fn error(&self, bucket: &BucketName) -> Option<String> {
        let registry = self.lock();
        let told = registry.buckets.get(bucket)?;
        let unreachable = told.teller.token.is_some() && !self.receives;
        let unreachable = unreachable.then(|| {
            "the operator takes no notifications at its webhook: start it with --notifications-listen (in its chart, \
             notifications.enabled)"
                .to_owned()
        });
        told.error.clone().or(unreachable)
    }

    /// Objects that are known to have changed and are not mirrored everywhere, and the longest lag, over all streams.
    pub(crate) fn measure(&self, now: Timestamp) -> (usize, Option<SignedDuration>) {
        let streams: Vec<_> = self.lock().streams.values().map(|followed| followed.stream.clone()).collect();
        let pending = streams.iter().map(|stream| stream.pending()).sum();
        (pending, streams.iter().filter_map(|stream| stream.longest_lag(now)).max())
    }

    /// Stops to read queues.
    pub(crate) fn stop(&self) {
        for (_, told) in self.lock().buckets.drain() {
            told.end();
        }
    }

    /// Whether who shows this token may tell of a Bucket, which a stream reads.
    fn admits(&self, bucket: &BucketName, token: Option<&[u8]>) -> bool {
        let registry = self.lock();
        let expected = registry.buckets.get(bucket).and_then(|told| told.teller.token.as_deref());
        // Of digests, how long it takes to compare them tells nothing of the token.
        expected.map(Sha256::of).zip(token.map(Sha256::of)).is_some_and(|(expected, shown)| expected == shown)
    }

    /// Takes changes of a Bucket's objects for all who read it; those of other buckets say nothing.
    fn tell(&self, bucket: &BucketName, changes: &[Change], now: Timestamp) {
        let registry = self.lock();
        let Some(told) = registry.buckets.get(bucket) else { return };
        let mine: Vec<_> = changes.iter().filter(|change| told.teller.covers(&change.origin)).collect();
        self.metrics.notices(NoticeOutcome::Taken, mine.len());
        self.metrics.notices(NoticeOutcome::OtherBucket, changes.len() - mine.len());
        let readers = registry.streams.values().filter(|followed| followed.bucket == *bucket);
        for Followed { stream, .. } in readers {
            for change in &mine {
                match change.key.as_deref().map(|key| key.strip_prefix(&told.teller.prefix)) {
                    Some(Some(key)) => stream.tell(Some(key), change.at, now),
                    // Outside of what the Bucket is.
                    Some(None) => {}
                    None => stream.tell(None, change.at, now),
                }
            }
        }
    }

    fn failed(&self, bucket: &BucketName, error: Option<String>) {
        if let Some(told) = self.lock().buckets.get_mut(bucket) {
            told.error = error;
        }
    }

    // A panic while the lock is held can't leave it half-changed in a way that matters: the next reconcile mends it.
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn forget_unread(&mut self) {
        let read: BTreeSet<_> = self.streams.values().map(|followed| &followed.bucket).collect();
        self.buckets.retain(|bucket, told| {
            let is_read = read.contains(bucket);
            if !is_read {
                told.end();
            }
            is_read
        });
    }
}

impl Told {
    fn end(&self) {
        if let Some(polling) = &self.polling {
            polling.cancel();
        }
    }
}

impl Teller {
    /// Whether a change is one of this bucket. Who says the account need not write it as the Bucket does: what is missing is not compared.
    fn covers(&self, origin: &Origin) -> bool {
        match (&self.origin, origin) {
            (_, Origin::Unsaid) => true,
            (
                Origin::Azure { account, container },
                Origin::Azure { account: said_account, container: said_container },
            ) => {
                let same_account = account.as_ref().zip(said_account.as_ref()).is_none_or(|(one, other)| one == other);
                same_account && container == said_container
            }
            (mine, said) => mine == said,
        }
    }
}
