//! Reads once, writes to many, proves each copy.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{join, join_all};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::cancel::cancellable;
use crate::content::{Digests, Hashing, Wanted};
use crate::pace::Pace;
use crate::reader::{ChunkReader, Parts};
use crate::verify::{Expected, prove_written};
use crate::{Attributes, ObjectStore, Proof, Sha256, StoreError, StoreErrorKind, TransferLimits, Written};

/// How a copy is proven to be one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verification {
    /// By the checksum that the target's store checked the content against, or by reading back where it tells none.
    #[default]
    Checksum,
    /// By reading every copy back.
    ReadBack,
}

/// One place a copy goes to.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) key: String,
}

impl Destination {
    fn failed(&self, detail: &str) -> StoreError {
        self.store.place().error(StoreErrorKind::Cancelled, format!("write {:?}", self.key), detail)
    }
}

/// What all copies of a pass share.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) limits: TransferLimits,
    pub(crate) verification: Verification,
    pub(crate) cancel: CancellationToken,
    /// Of what is read from the source.
    pub(crate) pace: Option<Arc<Pace>>,
    memory: Arc<Semaphore>,
    large: Semaphore,
}

/// The memory budget is counted in blocks: a semaphore hands out at most `u32::MAX` permits at once.
const BLOCK: u64 = 64 * 1024;

/// What a source that gives its bytes in bursts may make up for.
const SLACK: Duration = Duration::from_millis(100);

impl Transfer {
    pub(crate) fn new(limits: TransferLimits, verification: Verification, cancel: CancellationToken) -> Self {
        let memory = Arc::new(Semaphore::new(blocks(limits.memory) as usize));
        let large = Semaphore::new(limits.large_objects.max(1));
        Self { limits, verification, cancel, pace: None, memory, large }
    }

    /// With so many bytes a second from the source.
    pub(crate) fn paced(self, bandwidth: Option<NonZeroU64>) -> Self {
        Self { pace: bandwidth.map(|rate| Arc::new(Pace::new(rate, SLACK))), ..self }
    }

    /// Waits until an object of this size may begin; held until it has ended.
    pub(crate) async fn turn(&self, size: u64) -> Option<SemaphorePermit<'_>> {
        if self.limits.is_large(size) { self.large.acquire().await.ok() } else { None }
    }

    /// Room for a part; one larger than the whole budget gets all of it.
    async fn room(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let wanted = blocks(bytes).min(blocks(self.limits.memory));
        // The semaphore is never closed.
        self.memory.clone().acquire_many_owned(wanted).await.ok()
    }
}

fn blocks(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX >> 3).clamp(1, u32::MAX >> 3)
}

/// A part on its way. Its memory is given back when the last target is done with it.
#[derive(Clone)]
struct Part {
    number: u32,
    bytes: Bytes,
    sha256: Sha256,
    room: Arc<Option<OwnedSemaphorePermit>>,
}

/// A copy that was proven.
pub(crate) struct Proven {
    pub(crate) sha256: Sha256,
    pub(crate) etag: String,
    /// When the store says that it was written, in seconds since the Unix epoch.
    pub(crate) modified: i64,
}

/// Copies what `reader` gives (exactly `size` bytes) to every destination. A slow destination slows the reading; a failing
/// one fails alone. A failing reader fails all, and nothing is left of the unfinished copies.
pub(crate) async fn fan_out<R: ChunkReader>(
    reader: &mut R,
    size: u64,
    attributes: &Attributes,
    destinations: &[Destination],
    transfer: &Transfer,
    sent: impl Fn(usize, u64) + Sync,
) -> Result<Vec<Result<Proven, StoreError>>, R::Error> {
    let sizes = transfer.limits.parts_of(size);
    let (senders, receivers): (Vec<_>, Vec<_>) = destinations.iter().map(|_| mpsc::channel(1)).unzip();
    let writers = destinations.iter().zip(receivers).enumerate().map(|(index, (destination, parts))| {
        let writer = Writer { destination, attributes, transfer, count: sizes.len() };
        let sent = &sent;
        async move { writer.write(parts, |bytes| sent(index, bytes)).await }
    });
    let wanted = Wanted {
        crc32c: destinations.iter().any(|destination| destination.store.proof() == Proof::Crc32c),
        ..Wanted::default()
    };
    let (read, written) = join(read_parts(reader, &sizes, senders, wanted, transfer), join_all(writers)).await;
    let Some(digests) = read? else {
        let gave_up = |destination: &Destination| destination.failed("every target failed");
        let outcomes = destinations.iter().zip(written);
        return Ok(outcomes.map(|(to, written)| written.and_then(|_| Err(gave_up(to)))).collect());
    };
    let expected = Expected { size, digests };
    let proofs = destinations.iter().zip(written).map(|(destination, written)| {
        let expected = &expected;
        async move {
            let Destination { store, key } = destination;
            let (etag, modified) =
                prove_written(store, key, written?, expected, transfer.verification, &transfer.cancel).await?;
            Ok(Proven { sha256: expected.digests.sha256, etag, modified })
        }
    });
    Ok(join_all(proofs).await)
}

/// Reads all parts and hands each to every target that still takes them: their digests, or nothing when no target takes any
/// more.
async fn read_parts<R: ChunkReader>(
    reader: &mut R,
    sizes: &[u64],
    senders: Vec<Sender<Part>>,
    wanted: Wanted,
    transfer: &Transfer,
) -> Result<Option<Digests>, R::Error> {
    let mut hashing = Hashing::new(sizes.len(), wanted.by(reader.announced()));
    let mut parts = Parts::new(reader);
    let (last, others) = sizes.split_last().unwrap_or((&0, &[]));
    for (number, size) in (1..).zip(others) {
        let room = Arc::new(transfer.room(*size).await);
        let bytes = parts.next(*size, |chunk| hashing.update(chunk)).await?;
        let part = Part { number, bytes, sha256: hashing.end_part(), room };
        if !deliver(&senders, &part).await {
            return Ok(None);
        }
    }
    let room = Arc::new(transfer.room(*last).await);
    let bytes = parts.next(*last, |chunk| hashing.update(chunk)).await?;
    // Nobody may complete an object before its source has confirmed all of it.
    parts.end().await?;
    let sha256 = hashing.end_part();
    let digests = hashing.finish();
    reader.confirm(&digests)?;
    let number = u32::try_from(sizes.len()).unwrap_or(u32::MAX);
    let delivered = deliver(&senders, &Part { number, bytes, sha256, room }).await;
    Ok(delivered.then_some(digests))
}

/// Hands a part to every target; whether any took it.
async fn deliver(senders: &[Sender<Part>], part: &Part) -> bool {
    join_all(senders.iter().map(|sender| sender.send(part.clone()))).await.iter().any(Result::is_ok)
}

struct Writer<'a> {
    destination: &'a Destination,
    attributes: &'a Attributes,
    transfer: &'a Transfer,
    count: usize,
}

impl Writer<'_> {
    /// What the store said of the object; nothing when that answer was lost.
    async fn write(&self, mut parts: Receiver<Part>, sent: impl Fn(u64) + Sync) -> Result<Option<Written>, StoreError> {
        if self.count > 1 {
            return self.write_parts(parts, sent).await;
        }
        let Destination { store, key } = self.destination;
        let part = parts.recv().await;
        let Part { bytes, sha256, room, .. } = part.ok_or_else(|| self.destination.failed("its source failed"))?;
        let size = bytes.len() as u64;
        let request = store.put(key, self.attributes, bytes, sha256);
        let written = cancellable(&self.transfer.cancel, store.place(), request).await?;
        drop(room);
        sent(size);
        Ok(Some(written))
    }

    async fn write_parts(
        &self,
        parts: Receiver<Part>,
        sent: impl Fn(u64) + Sync,
    ) -> Result<Option<Written>, StoreError> {
        let Destination { store, key } = self.destination;
        let request = store.create_multipart(key, self.attributes);
        let upload = cancellable(&self.transfer.cancel, store.place(), request).await?;
        let outcome = self.send_and_complete(&upload, parts, sent).await;
        if outcome.is_err()
            && let Err(error) = store.abort_multipart(key, &upload).await
        {
            tracing::warn!(%error, "parts of an unfinished upload may be left; a lifecycle rule of the bucket removes them");
        }
        // What an earlier pass that was killed has begun, or this one, when the answer to that was lost.
        if let Err(error) = store.abort_leftovers(key).await {
            tracing::debug!(%error, "uploads that nobody will end may be left");
        }
        outcome
    }

    async fn send_and_complete(
        &self,
        upload: &str,
        mut parts: Receiver<Part>,
        sent: impl Fn(u64) + Sync,
    ) -> Result<Option<Written>, StoreError> {
        let Destination { store, key } = self.destination;
        let cancel = &self.transfer.cancel;
        let sent = &sent;
        let mut done: Vec<_> = stream::poll_fn(|context| parts.poll_recv(context))
            .map(|Part { number, bytes, sha256, room }| async move {
                let size = bytes.len() as u64;
                let request = store.put_part(key, upload, number, bytes, sha256);
                let etag = cancellable(cancel, store.place(), request).await?;
                // Named, so that it is held until here.
                drop(room);
                sent(size);
                Ok::<_, StoreError>((number, etag, sha256))
            })
            .buffer_unordered(self.transfer.limits.parts.max(1))
            .try_collect()
            .await?;
        if done.len() < self.count {
            return Err(self.destination.failed("its source failed"));
        }
        done.sort_unstable_by_key(|(number, ..)| *number);
        let done: Vec<_> = done.into_iter().map(|(_, etag, sha256)| (etag, sha256)).collect();
        match cancellable(cancel, store.place(), store.complete_multipart(key, upload, &done)).await {
            // The first answer was lost and the upload is complete already. The proof that follows tells.
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }
}
