//! Writes one copy in parts, and notes how far it is.

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc::Receiver;

use super::Transfer;
use super::destination::Destination;
use super::journal::{Journal, Journals};
use super::lane::{LiveSource, Part};
use super::ledger::Ledger;
use super::live::{Again, Broken, End, LivePart};
use super::part::Size;
use super::writer::{Sent, Upload, Writer, payload};
use crate::cancel::cancellable;
use crate::content::{Whole, composite};
use crate::{Checksum, ChecksumAlgorithm, StoreError, StoreErrorKind, UploadedPart};

/// Something that was asked of the store and has ended.
enum Ended {
    Part { number: usize, part: UploadedPart, end: End },
    Noted,
}

impl Writer<'_> {
    pub(super) async fn write_parts(
        &self,
        upload: Upload,
        algorithm: ChecksumAlgorithm,
        (parts, transfer): (Receiver<Part>, &Transfer),
        sent: impl Fn(u64) + Sync,
    ) -> Result<Sent, StoreError> {
        let Destination { store, key, journals, stop, .. } = self.destination;
        let mut is_noted = !upload.done.is_empty();
        let Upload { id, done } = upload;
        let mut ledger = Ledger::new(done);
        let sending = (&*id, algorithm, transfer);
        let outcome = self.send_and_complete(sending, parts, (&mut ledger, &mut is_noted), sent).await;
        if outcome.is_err() && stop.is_alone() {
            self.leave(id, &ledger, is_noted);
            return outcome;
        }
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
        (id, algorithm, transfer): (&str, ChecksumAlgorithm, &Transfer),
        mut parts: Receiver<Part>,
        (ledger, is_noted): (&mut Ledger, &mut bool),
        sent: impl Fn(u64) + Sync,
    ) -> Result<Sent, StoreError> {
        let Destination { store, key, journals, condition, stop } = self.destination;
        if ledger.bytes() > 0 {
            sent(ledger.bytes());
        }
        let mut running = FuturesUnordered::new();
        let (mut sending, mut is_noting, mut has_ended) = (0, false, false);
        let mut count = None;
        loop {
            tokio::select! {
                part = parts.recv(), if !has_ended && sending < transfer.limits.parts.max(1) => match part {
                    Some(part) => {
                        sending += 1;
                        running.push(futures::future::Either::Left(self.send_part(id, (algorithm, transfer), part)));
                    }
                    None => has_ended = true,
                },
                Some(ended) = running.next() => match ended? {
                    Ended::Part { number, part, end: End { whole, is_last, .. } } => {
                        sending -= 1;
                        sent(part.size);
                        let before = ledger.bytes();
                        ledger.add(number, part, whole);
                        // Of a part that is noted, and not of the last one.
                        let is_kept = journals.is_some() && self.content.version.is_some() && ledger.bytes() < self.size();
                        if is_kept && ledger.bytes() > before {
                            stop.progress();
                        }
                        if is_last {
                            count = Some(number);
                        }
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
                let note = self.note(journals, id.to_owned(), done, whole);
                running.push(futures::future::Either::Right(note));
            }
        }
        let (done, whole) = count.and_then(|count| ledger.finish(count)).ok_or_else(|| self.broken(Broken::Source))?;
        let composite = composite(done.iter().map(|part| part.checksum)).map(|sha256| (sha256, done.len()));
        self.is_announced(&whole)?;
        let whole = Some(Checksum::Crc64Nvme(whole.crc64nvme));
        let request = store.complete_multipart(key, id, &done, whole, condition);
        match cancellable(stop.of_pass(), store.place(), request).await {
            // The first answer was lost and the upload is complete already. The proof that follows tells.
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                Ok(Sent { written: None, composite, refused: None })
            }
            other => self.sent(other, composite),
        }
    }

    /// Whether what the store has taken is what the source's store tells of it.
    fn is_announced(&self, taken: &Whole) -> Result<(), StoreError> {
        match self.content.announced {
            Some(Checksum::Crc64Nvme(announced)) if taken.crc64nvme != announced => {
                let Destination { store, key, .. } = self.destination;
                let detail = "its parts are another content than the source's store tells of";
                Err(store.place().error(StoreErrorKind::Corrupt, format!("write {key:?}"), detail))
            }
            _ => Ok(()),
        }
    }

    async fn send_part(
        &self,
        upload: &str,
        (algorithm, transfer): (ChecksumAlgorithm, &Transfer),
        part: Part,
    ) -> Result<Ended, StoreError> {
        let Destination { store, key, stop, .. } = self.destination;
        // Named, so that it is held until here ends.
        let Part { number, pieces, room, live, busy: _busy } = part;
        let position = u32::try_from(number).unwrap_or(u32::MAX);
        let Some(LiveSource { pinned, offset, size, is_told }) = live else {
            let (chunks, end) = pieces.collect().await.map_err(|broken| self.broken(broken))?;
            let payload = payload(chunks, end.digests.checksum(algorithm));
            let request = store.put_part(key, upload, position, payload);
            let part = cancellable(&stop.cancel, store.place(), request).await?;
            // Named, so that it is held until here.
            drop(room);
            return Ok(Ended::Part { number, part, end });
        };
        let again = Again { source: pinned, offset, room: transfer.room(), is_needed: self.had_to_read_again.clone() };
        let live = LivePart::new((size, is_told), pieces, room, again);
        let request = store.put_live_part(key, upload, position, &live);
        let part = cancellable(&stop.cancel, store.place(), request).await?;
        Ok(Ended::Part { number, part, end: live.end().await? })
    }

    /// Bytes of the content, as far as that is known.
    fn size(&self) -> u64 {
        match self.content.size {
            Size::Known(size) => size,
            Size::Open { .. } => u64::MAX,
        }
    }

    /// Leaves an upload that was stopped while the pass goes on: notes how far it is, or throws it away where there is nothing to
    /// note. Nobody waits for that here: the target is slow.
    fn leave(&self, upload: String, ledger: &Ledger, is_noted: bool) {
        let Destination { store, key, journals, stop, .. } = self.destination.clone();
        // Also what was being noted: that was stopped, too.
        let so_far = ledger.so_far(self.size());
        if so_far.is_none() && is_noted {
            return;
        }
        let version = self.content.version.cloned();
        let journal = so_far.zip(version).map(|((parts, whole), source)| {
            let (key, upload) = (key.clone(), upload.clone());
            Journal { key, upload, source, parts, whole: (*whole).clone() }
        });
        let note = async move {
            if let (Some(journals), Some(journal)) = (&journals, journal) {
                match journals.keep(&journal).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(%error, "it is not noted how far an upload is"),
                }
            }
            // What is noted already may be gone on with.
            if !is_noted && let Err(error) = store.abort_multipart(&key, &upload).await {
                tracing::warn!(%error, "parts of an unfinished upload may be left; a lifecycle rule of the bucket removes them");
            }
        };
        drop(stop.endings.spawn(note));
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
