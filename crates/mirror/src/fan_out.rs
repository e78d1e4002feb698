//! Reads once, writes to many, proves each copy.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{join, join_all};
use tokio::sync::mpsc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::content::{Hashing, Wanted, Whole};
use crate::journal::{Journal, Journals, SourceVersion};
use crate::lane::read_parts;
use crate::pace::Pace;
use crate::reader::ChunkReader;
use crate::verify::{Expected, prove_written};
use crate::writer::{Sent, Writer};
use crate::{
    Attributes, Checksum, Condition, ObjectStore, PartLimits, Sha256, SourceLimits, StoreError, StoreErrorKind,
    TransferLimits,
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
    /// Whether no part may be sent before all of it was read.
    pub(crate) keeps_parts: bool,
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
        Self { limits, verification, sha256: false, cancel, pace: None, keeps_parts: false, memory, large }
    }

    /// For those who name contents by their SHA-256.
    pub(crate) fn with_sha256(self) -> Self {
        Self { sha256: true, ..self }
    }

    /// With what may leave the source. Where that is little, parts are kept until they were taken: none is read twice for that it
    /// costs, and no store waits in the middle of one for bytes that are held back.
    pub(crate) fn within(self, limits: SourceLimits) -> Self {
        let pace = limits.bandwidth.map(|rate| Arc::new(Pace::new(rate, SLACK)));
        Self { keeps_parts: pace.is_some() || limits.egress.is_some(), pace, ..self }
    }

    /// Waits until an object of this size may begin; held until it has ended.
    pub(crate) async fn turn(&self, size: u64) -> Option<SemaphorePermit<'_>> {
        if self.limits.is_large(size) { self.large.acquire().await.ok() } else { None }
    }

    pub(crate) fn room(&self) -> Room {
        Room { memory: self.memory.clone(), most: blocks(self.limits.memory) }
    }
}

/// Room for content.
pub(crate) struct Room {
    memory: Arc<Semaphore>,
    most: u32,
}

impl Room {
    /// Room for so many bytes; who wants more than the whole budget gets all of it.
    pub(crate) async fn take(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.memory.clone().acquire_many_owned(blocks(bytes).min(self.most)).await.ok()
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
            lanes.push(writer.lane(lane));
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
