//! Writes one copy of what is read: at once, or in parts.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc::{Receiver, Sender};

use crate::cancel::cancellable;
use crate::content::{Whole, composite};
use crate::fan_out::{Content, Destination, Transfer};
use crate::http::Chunks;
use crate::journal::{Journal, Journals};
use crate::lane::{Lane, Part};
use crate::ledger::Ledger;
use crate::live::{Again, Broken, End, LivePart};
use crate::{Checksum, ChecksumAlgorithm, Payload, Sha256, StoreError, StoreErrorKind, UploadedPart, Written};

/// What to do about a condition that was not met.
const FOREIGN_WRITE: &str = "somebody else wrote or removed it after the target was listed, and it was left as it is: \
    let nobody else write below the target's prefix; the next pass compares it anew";

/// What came of writing.
pub(crate) struct Sent {
    /// What the store said of the object; nothing when that answer was lost.
    pub(crate) written: Option<Written>,
    /// The digest of the parts' digests, and their number, where those were sent.
    pub(crate) composite: Option<(Sha256, usize)>,
    /// The store did not write it, since its condition did not hold. It may have done so before, and the answer was lost.
    pub(crate) refused: Option<StoreError>,
}

pub(crate) struct Writer<'a> {
    destination: &'a Destination,
    content: &'a Content<'a>,
    transfer: &'a Transfer,
    sizes: &'a [u64],
    /// What is to be completed; nothing for an object that is written at once.
    upload: Option<Upload>,
    /// Whether a part had to be read again: from then on they are kept until they were taken.
    had_to_read_again: Arc<AtomicBool>,
}

/// An upload that was begun.
struct Upload {
    id: String,
    /// What earlier passes have brought.
    done: Vec<UploadedPart>,
}

/// Something that was asked of the store and has ended.
enum Ended {
    Part { number: usize, part: UploadedPart, whole: Arc<Whole> },
    Noted,
}

impl<'a> Writer<'a> {
    /// Begins an upload, or takes one up again.
    pub(crate) async fn begin(
        destination: &'a Destination,
        content: &'a Content<'a>,
        journal: Option<Journal>,
        sizes: &'a [u64],
        transfer: &'a Transfer,
    ) -> Result<Self, StoreError> {
        let upload = match journal {
            Some(journal) => Some(Upload { id: journal.upload, done: journal.parts }),
            None if sizes.len() > 1 => {
                let Destination { store, key, .. } = destination;
                let request = store.create_multipart(key, content.attributes);
                let id = cancellable(&transfer.cancel, store.place(), request).await?;
                Some(Upload { id, done: Vec::new() })
            }
            None => None,
        };
        Ok(Self { destination, content, transfer, sizes, upload, had_to_read_again: Arc::default() })
    }

    /// The way of parts to it.
    pub(crate) fn lane(&self, parts: Sender<Part>) -> Lane {
        Lane {
            parts,
            has: self.upload.as_ref().map_or(0, |upload| upload.done.len()),
            store: self.destination.store.clone(),
            may_be_live: self.upload.is_some() && self.algorithm() == ChecksumAlgorithm::Crc64Nvme,
            had_to_read_again: self.had_to_read_again.clone(),
        }
    }

    /// The checksum that goes with each part. All parts of an upload have the same.
    pub(crate) fn algorithm(&self) -> ChecksumAlgorithm {
        let first = self.upload.as_ref().and_then(|upload| upload.done.first());
        match first.map(|part| part.checksum) {
            Some(Checksum::Sha256(_)) => ChecksumAlgorithm::Sha256,
            Some(Checksum::Crc32c(_)) => ChecksumAlgorithm::Crc32c,
            Some(Checksum::Crc64Nvme(_)) => ChecksumAlgorithm::Crc64Nvme,
            Some(Checksum::Crc32(_)) | None => self.destination.store.proof().algorithm(),
        }
    }

    pub(crate) async fn write(
        mut self,
        mut parts: Receiver<Part>,
        sent: impl Fn(u64) + Sync,
    ) -> Result<Sent, StoreError> {
        let algorithm = self.algorithm();
        if let Some(upload) = self.upload.take() {
            return self.write_parts(upload, algorithm, parts, sent).await;
        }
        let Destination { store, key, condition, .. } = self.destination;
        let part = parts.recv().await;
        let Part { pieces, room, .. } = part.ok_or_else(|| self.broken(Broken))?;
        let (chunks, end) = pieces.collect().await.map_err(|broken| self.broken(broken))?;
        let payload = self.payload(chunks, end.digests.checksum(algorithm))?;
        let size = payload.size();
        let request = store.put(key, self.content.attributes, payload, condition);
        let written = cancellable(&self.transfer.cancel, store.place(), request).await;
        drop(room);
        let outcome = self.sent(written, None)?;
        sent(size);
        Ok(outcome)
    }

    /// How a write has ended. Whether a condition was not met for what another has written, or for our own, tells the proof that
    /// follows.
    fn sent(
        &self,
        written: Result<Written, StoreError>,
        composite: Option<(Sha256, usize)>,
    ) -> Result<Sent, StoreError> {
        match written {
            Err(error) if self.destination.is_unmet(&error) => {
                let refused =
                    Some(StoreError { detail: FOREIGN_WRITE.to_owned(), kind: StoreErrorKind::Changed, ..error });
                Ok(Sent { written: None, composite, refused })
            }
            other => other.map(|written| Sent { written: Some(written), composite, refused: None }),
        }
    }

    fn broken(&self, broken: Broken) -> StoreError {
        self.destination.failed(&broken.to_string())
    }

    fn payload(&self, chunks: Chunks, checksum: Option<Checksum>) -> Result<Payload, StoreError> {
        let unknown = || self.destination.failed("its checksum was not computed");
        checksum.map(|checksum| Payload::new(chunks, checksum)).ok_or_else(unknown)
    }

    async fn write_parts(
        &self,
        upload: Upload,
        algorithm: ChecksumAlgorithm,
        parts: Receiver<Part>,
        sent: impl Fn(u64) + Sync,
    ) -> Result<Sent, StoreError> {
        let Destination { store, key, journals, .. } = self.destination;
        let mut is_noted = !upload.done.is_empty();
        let id = upload.id.clone();
        let outcome = self.send_and_complete(upload, algorithm, parts, &mut is_noted, sent).await;
        if outcome.is_err() && is_noted {
            // Whoever comes next goes on with it, or throws it away.
            return outcome;
        }
        if outcome.is_err()
            && let Err(error) = store.abort_multipart(key, &id).await
        {
            tracing::warn!(%error, "parts of an unfinished upload may be left; a lifecycle rule of the bucket removes them");
        }
        if let Some(journals) = journals {
            journals.close(key).await;
        }
        // What an earlier pass that was killed has begun, or this one, when the answer to that was lost.
        if let Err(error) = store.abort_leftovers(key).await {
            tracing::debug!(%error, "uploads that nobody will end may be left");
        }
        outcome
    }

    async fn send_and_complete(
        &self,
        upload: Upload,
        algorithm: ChecksumAlgorithm,
        mut parts: Receiver<Part>,
        is_noted: &mut bool,
        sent: impl Fn(u64) + Sync,
    ) -> Result<Sent, StoreError> {
        let Destination { store, key, journals, condition } = self.destination;
        let (transfer, id) = (self.transfer, upload.id);
        if !upload.done.is_empty() {
            sent(upload.done.iter().map(|part| part.size).sum());
        }
        let mut ledger = Ledger::new(upload.done);
        let mut running = FuturesUnordered::new();
        let (mut sending, mut is_noting, mut has_ended) = (0, false, false);
        loop {
            tokio::select! {
                part = parts.recv(), if !has_ended && sending < transfer.limits.parts.max(1) => match part {
                    Some(part) => {
                        sending += 1;
                        running.push(futures::future::Either::Left(self.send_part(&id, algorithm, part)));
                    }
                    None => has_ended = true,
                },
                Some(ended) = running.next() => match ended? {
                    Ended::Part { number, part, whole } => {
                        sending -= 1;
                        sent(part.size);
                        ledger.add(number, part, whole);
                    }
                    Ended::Noted => is_noting = false,
                },
                else => break,
            }
            if !is_noting
                && let (Some(journals), Some(_)) = (journals, self.content.version)
                && let Some((done, whole)) = ledger.due(transfer.limits.noted_every)
            {
                (is_noting, *is_noted) = (true, true);
                let note = self.note(journals, id.clone(), done, whole);
                running.push(futures::future::Either::Right(note));
            }
        }
        let (done, whole) =
            ledger.finish(self.sizes.len()).ok_or_else(|| self.destination.failed("its source failed"))?;
        let composite = composite(done.iter().map(|part| part.checksum)).map(|sha256| (sha256, done.len()));
        let whole = Some(Checksum::Crc64Nvme(whole.crc64nvme));
        let request = store.complete_multipart(key, &id, &done, whole, condition);
        match cancellable(&transfer.cancel, store.place(), request).await {
            // The first answer was lost and the upload is complete already. The proof that follows tells.
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                Ok(Sent { written: None, composite, refused: None })
            }
            other => self.sent(other, composite),
        }
    }

    async fn send_part(&self, upload: &str, algorithm: ChecksumAlgorithm, part: Part) -> Result<Ended, StoreError> {
        let Destination { store, key, .. } = self.destination;
        let Part { number, size, pieces, room, live } = part;
        let position = u32::try_from(number).unwrap_or(u32::MAX);
        let Some((source, offset)) = live else {
            let (chunks, End { digests, whole }) = pieces.collect().await.map_err(|broken| self.broken(broken))?;
            let payload = self.payload(chunks, digests.checksum(algorithm))?;
            let request = store.put_part(key, upload, position, payload);
            let part = cancellable(&self.transfer.cancel, store.place(), request).await?;
            // Named, so that it is held until here.
            drop(room);
            return Ok(Ended::Part { number, part, whole });
        };
        let again = Again { source, offset, room: self.transfer.room(), is_needed: self.had_to_read_again.clone() };
        let live = LivePart::new(size, pieces, room, again);
        let request = store.put_live_part(key, upload, position, &live);
        let part = cancellable(&self.transfer.cancel, store.place(), request).await?;
        Ok(Ended::Part { number, part, whole: live.end().await?.whole })
    }

    /// Notes how far it is. It only saves work, so that it fails is no failure.
    async fn note(
        &self,
        journals: &Journals,
        upload: String,
        parts: Vec<UploadedPart>,
        whole: Arc<Whole>,
    ) -> Result<Ended, StoreError> {
        let Some(source) = self.content.version.cloned() else { return Ok(Ended::Noted) };
        let journal = Journal { key: self.destination.key.clone(), upload, source, parts, whole: (*whole).clone() };
        if let Err(error) = journals.keep(&journal).await {
            tracing::debug!(%error, "it is not noted how far an upload is");
        }
        Ok(Ended::Noted)
    }
}
