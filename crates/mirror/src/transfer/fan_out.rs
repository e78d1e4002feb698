//! Reads once, writes to many, proves each copy.

use futures::future::{join, join_all};
use tokio::sync::mpsc;

use super::Transfer;
use super::destination::{Destination, part_limits};
use super::journal::{Journal, SourceVersion};
use super::lane::{Read, read_parts};
use super::part::{Cut, Size};
use super::reader::{ChunkReader, Parts};
use super::room::Room;
use super::waits::Course;
use super::writer::{Sent, Writer};
use crate::content::{Digesting, Hashing, Wanted, Whole};
use crate::verify::{Expected, prove_written};
use crate::{Attributes, Checksum, Sha256, StoreError, StoreErrorKind};

/// What is copied.
pub(crate) struct Content<'a> {
    pub(crate) size: Size,
    pub(crate) attributes: &'a Attributes,
    /// What its store keeps of the whole content.
    pub(crate) announced: Option<Checksum>,
    /// Whether its digests are the stores' to tell.
    pub(crate) is_told: bool,
    /// What names it, where a later pass could go on with it.
    pub(crate) version: Option<&'a SourceVersion>,
}

impl<'a> Content<'a> {
    /// One of which no store knows anything.
    pub(crate) fn new(size: Size, attributes: &'a Attributes) -> Self {
        Self { size, attributes, announced: None, is_told: false, version: None }
    }
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

    pub(crate) fn is_afresh(&self) -> bool {
        self.journals.iter().all(Option::is_none)
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

/// Copies what `reader` gives (from where it starts to the end of `content`) to every destination. What gets larger than they take
/// of one object is [`StoreErrorKind::Rejected`] at each. A slow destination slows the
/// reading until it is stopped; a failing one fails alone. A failing reader fails all. Of unfinished copies nothing is left but what a journal names.
pub(crate) async fn fan_out<R: ChunkReader>(
    reader: &mut R,
    content: &Content<'_>,
    destinations: &[Destination],
    start: Start,
    transfer: &Transfer,
    sent: impl Fn(usize, u64) + Sync,
) -> Result<Vec<Result<Proven, StoreError>>, R::Error> {
    let mut parts = Parts::new(reader);
    let cut = cut(&mut parts, content.size, destinations, transfer).await?;
    let first = start.parts();
    let Start { journals, whole } = start;
    // Begun before anything is summed up: what a store checks may turn out only now.
    let begin = destinations.iter().zip(journals);
    let course = Course::new(transfer.waits.as_ref(), destinations);
    let begin = begin.enumerate().map(|(place, (destination, journal))| {
        let (course, begin) = (&course, Writer::begin(destination, content, journal, &cut));
        async move {
            let writer = begin.await;
            course.has_begun(place);
            if writer.is_err() {
                course.has_ended(place, false);
            }
            writer
        }
    });
    let writers = join_all(begin).await;
    course.is_reading();
    let digesting = match content.announced {
        Some(Checksum::Crc64Nvme(announced)) if content.is_told => Digesting::Told(announced),
        _ => {
            let wanted = wanted(&writers, content, transfer);
            let hashing = whole.and_then(|whole| Hashing::resume(whole, wanted));
            Digesting::Computed(Box::new(hashing.unwrap_or_else(|| Hashing::new(cut.least_parts(), wanted))))
        }
    };

    let (mut lanes, mut writing) = (Vec::new(), Vec::new());
    for (index, writer) in writers.into_iter().enumerate() {
        let sent = &sent;
        let (lane, parts) = mpsc::channel(1);
        if let Ok(writer) = &writer {
            lanes.push(writer.lane(lane, index));
        }
        let course = &course;
        writing.push(async move {
            let written = writer?.write(parts, transfer, |bytes| sent(index, bytes)).await;
            course.has_ended(index, written.is_ok());
            written
        });
    }
    let reading = async {
        let read = read_parts(parts, (&cut, first), &lanes, digesting, (transfer, &course)).await;
        // Nothing follows.
        drop(lanes);
        course.is_ending();
        read
    };
    let (read, written) = join(reading, join_all(writing)).await;
    let Some(Read { size: read, digests }) = read? else {
        let gave_up = |destination: &Destination| destination.failed(StoreErrorKind::Cancelled, "every target failed");
        let outcomes = destinations.iter().zip(written);
        return Ok(outcomes.map(|(to, written)| written.and_then(|_| Err(gave_up(to)))).collect());
    };
    let size = if let Size::Known(size) = content.size { size } else { read };
    let proofs = destinations.iter().zip(written).map(|(destination, written)| async move {
        let Sent { written, composite, refused } = written?;
        let expected = Expected { size, digests, composite };
        let Destination { store, key, stop, .. } = destination;
        let proof = prove_written(store, key, written, &expected, transfer.verification, stop.of_pass()).await;
        // What is there may be our own, written by an attempt whose answer was lost.
        let is_another = |error: &StoreError| matches!(error.kind, StoreErrorKind::Corrupt | StoreErrorKind::NotFound);
        let (etag, modified) =
            proof.map_err(|error| refused.filter(|_| is_another(&error)).unwrap_or_else(|| error.clone()))?;
        Ok(Proven { sha256: digests.sha256, etag, modified })
    });
    Ok(join_all(proofs).await)
}

/// How a content is cut. Of one whose size is not known the first part is read ahead: what ends there goes in a single request.
async fn cut<R: ChunkReader>(
    parts: &mut Parts<'_, R>,
    size: Size,
    destinations: &[Destination],
    transfer: &Transfer,
) -> Result<Cut, R::Error> {
    let cut = transfer.limits.cut(size, part_limits(destinations));
    let Cut::Open { part, .. } = cut else { return Ok(cut) };
    parts.room = transfer.room().take(part).await;
    let Some(size) = parts.read_ahead(part).await? else { return Ok(cut) };
    if let Some(room) = &mut parts.room {
        Room::shrink(room, size);
    }
    Ok(Cut::Known(vec![size]))
}

fn wanted(writers: &[Result<Writer<'_>, StoreError>], content: &Content<'_>, transfer: &Transfer) -> Wanted {
    let wanted = Wanted { sha256: transfer.sha256, ..Wanted::default() }.to_compare_with(content.announced);
    writers.iter().flatten().fold(wanted, |wanted, writer| wanted.to_send(writer.algorithm()))
}

#[cfg(test)]
mod tests;
