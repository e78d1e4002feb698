//! Reads once, writes to many, proves each copy.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join, join_all};
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::content::{Digests, Hashing, Wanted, Whole};
use crate::http::Chunks;
use crate::journal::{Journal, Journals, SourceVersion};
use crate::pace::Pace;
use crate::reader::{ChunkReader, Parts};
use crate::verify::{Expected, prove_written};
use crate::writer::{Sent, Writer};
use crate::{
    Attributes, Checksum, Condition, ObjectStore, PartLimits, Sha256, StoreError, StoreErrorKind, TransferLimits,
};

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
    /// What must be there still when it is written.
    pub(crate) condition: Condition,
    /// Where it is noted how far a large object has come; nowhere, for one that is never taken up again.
    pub(crate) journals: Option<Arc<Journals>>,
}

impl Destination {
    /// Whether a write failed because its condition does not hold. Some stores say of a version that is gone that nothing is found.
    pub(crate) fn is_unmet(&self, error: &StoreError) -> bool {
        match self.condition {
            Condition::Any => false,
            Condition::Absent => error.kind == StoreErrorKind::Changed,
            Condition::Version(_) => matches!(error.kind, StoreErrorKind::Changed | StoreErrorKind::NotFound),
        }
    }

    pub(crate) fn failed(&self, detail: &str) -> StoreError {
        self.store.place().error(StoreErrorKind::Cancelled, format!("write {:?}", self.key), detail)
    }
}

/// What an object must be cut by that goes to all of them.
pub(crate) fn part_limits(destinations: &[Destination]) -> PartLimits {
    PartLimits::strictest(destinations.iter().map(|destination| destination.store.part_limits()))
}

/// What all copies of a pass share.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) limits: TransferLimits,
    pub(crate) verification: Verification,
    /// Whether the SHA-256 of every object is wanted.
    pub(crate) sha256: bool,
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
        Self { limits, verification, sha256: false, cancel, pace: None, memory, large }
    }

    /// For those who name contents by their SHA-256.
    pub(crate) fn with_sha256(self) -> Self {
        Self { sha256: true, ..self }
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

/// What is copied.
pub(crate) struct Content<'a> {
    pub(crate) size: u64,
    pub(crate) attributes: &'a Attributes,
    /// What its store keeps of the whole content.
    pub(crate) announced: Option<Checksum>,
    /// What names it, where a later pass could go on with it.
    pub(crate) version: Option<&'a SourceVersion>,
}

/// Where a copy begins: at the start, or after parts that earlier passes have brought to every destination.
pub(crate) struct Start {
    /// How far each destination is, in their order.
    pub(crate) journals: Vec<Option<Journal>>,
    /// The digests of the parts that all of them have.
    pub(crate) whole: Option<Whole>,
}

impl Start {
    pub(crate) fn afresh(destinations: usize) -> Self {
        Self { journals: vec![None; destinations], whole: None }
    }

    /// Bytes that are not read again.
    pub(crate) fn offset(&self) -> u64 {
        self.whole.as_ref().map_or(0, |whole| whole.size)
    }

    /// Parts that are not read again.
    fn parts(&self) -> usize {
        let done = |journal: &Option<Journal>| journal.as_ref().map_or(0, |journal| journal.parts.len());
        self.journals.iter().map(done).min().unwrap_or_default()
    }
}

/// A part on its way. Its memory is given back when the last target is done with it.
#[derive(Clone)]
pub(crate) struct Part {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) chunks: Chunks,
    pub(crate) digests: Digests,
    /// The digests of all up to it.
    pub(crate) whole: Arc<Whole>,
    pub(crate) room: Arc<Option<OwnedSemaphorePermit>>,
}

/// A copy that was proven.
pub(crate) struct Proven {
    /// Where it was wanted.
    pub(crate) sha256: Option<Sha256>,
    pub(crate) etag: String,
    /// When the store says that it was written, in seconds since the Unix epoch.
    pub(crate) modified: i64,
}

/// Copies what `reader` gives (from where it starts to the end of `content`) to every destination. A slow destination slows the
/// reading; a failing one fails alone. A failing reader fails all. Of unfinished copies nothing is left but what a journal names.
pub(crate) async fn fan_out<R: ChunkReader>(
    reader: &mut R,
    content: &Content<'_>,
    destinations: &[Destination],
    start: Start,
    transfer: &Transfer,
    sent: impl Fn(usize, u64) + Sync,
) -> Result<Vec<Result<Proven, StoreError>>, R::Error> {
    let sizes = transfer.limits.parts_of(content.size, part_limits(destinations));
    let first = start.parts();
    let Start { journals, whole } = start;
    // Begun before anything is read: what a store checks may turn out only now.
    let begin = destinations.iter().zip(journals);
    let begin = begin.map(|(destination, journal)| Writer::begin(destination, content, journal, &sizes, transfer));
    let writers = join_all(begin).await;
    let wanted = wanted(&writers, content, transfer);
    let hashing = whole.and_then(|whole| Hashing::resume(whole, wanted));
    let hashing = hashing.unwrap_or_else(|| Hashing::new(sizes.len(), wanted));

    let (mut lanes, mut writing) = (Vec::new(), Vec::new());
    for (index, writer) in writers.into_iter().enumerate() {
        let sent = &sent;
        let (lane, parts) = mpsc::channel(1);
        if let Ok(writer) = &writer {
            lanes.push(Lane { lane, has: writer.has() });
        }
        writing.push(async move { writer?.write(parts, |bytes| sent(index, bytes)).await });
    }
    let reading = read_parts(reader, &sizes, first, lanes, hashing, transfer);
    let (read, written) = join(reading, join_all(writing)).await;
    let Some(digests) = read? else {
        let gave_up = |destination: &Destination| destination.failed("every target failed");
        let outcomes = destinations.iter().zip(written);
        return Ok(outcomes.map(|(to, written)| written.and_then(|_| Err(gave_up(to)))).collect());
    };
    let proofs = destinations.iter().zip(written).map(|(destination, written)| async move {
        let Sent { written, composite, refused } = written?;
        let expected = Expected { size: content.size, digests, composite };
        let Destination { store, key, .. } = destination;
        let proof = prove_written(store, key, written, &expected, transfer.verification, &transfer.cancel).await;
        // What is there may be our own, written by an attempt whose answer was lost.
        let is_another = |error: &StoreError| matches!(error.kind, StoreErrorKind::Corrupt | StoreErrorKind::NotFound);
        let (etag, modified) =
            proof.map_err(|error| refused.filter(|_| is_another(&error)).unwrap_or_else(|| error.clone()))?;
        Ok(Proven { sha256: digests.sha256, etag, modified })
    });
    Ok(join_all(proofs).await)
}

fn wanted(writers: &[Result<Writer<'_>, StoreError>], content: &Content<'_>, transfer: &Transfer) -> Wanted {
    let wanted = Wanted { sha256: transfer.sha256, ..Wanted::default() }.to_compare_with(content.announced);
    writers.iter().flatten().fold(wanted, |wanted, writer| wanted.to_send(writer.algorithm()))
}

/// The way to one destination.
struct Lane {
    lane: Sender<Part>,
    /// Parts from the first on that it has already.
    has: usize,
}

/// Reads all parts after the first `done`, and hands each to every target that still takes them: the digests of all, or nothing
/// when no target takes any more.
async fn read_parts<R: ChunkReader>(
    reader: &mut R,
    sizes: &[u64],
    done: usize,
    lanes: Vec<Lane>,
    mut hashing: Hashing,
    transfer: &Transfer,
) -> Result<Option<Digests>, R::Error> {
    if lanes.is_empty() {
        return Ok(None);
    }
    let mut parts = Parts::new(reader);
    for (number, size) in (1..).zip(sizes).skip(done) {
        let room = Arc::new(transfer.room(*size).await);
        let chunks = parts.next(*size, |chunk| hashing.update(chunk)).await?;
        let digests = hashing.end_part();
        let part = Part { number, chunks, digests, whole: Arc::new(hashing.so_far()), room };
        if number < sizes.len() {
            if deliver(&lanes, &part).await {
                continue;
            }
            return Ok(None);
        }
        // Nobody may complete an object before its source has confirmed all of it.
        parts.end().await?;
        let digests = hashing.finish();
        reader.confirm(&digests)?;
        return Ok(deliver(&lanes, &part).await.then_some(digests));
    }
    // An object has at least one part, and a start never has all of them.
    Ok(None)
}

/// Hands a part to every target that does not have it; whether any still takes parts.
async fn deliver(lanes: &[Lane], part: &Part) -> bool {
    let deliveries = lanes.iter().map(|Lane { lane, has }| async move {
        if part.number <= *has { !lane.is_closed() } else { lane.send(part.clone()).await.is_ok() }
    });
    join_all(deliveries).await.contains(&true)
}
