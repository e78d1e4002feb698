//! Writes one copy of what is read: at once, or in parts.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc::{Receiver, Sender};

use super::Transfer;
use super::destination::Destination;
use super::fan_out::Content;
use super::journal::Journal;
use super::lane::{Lane, Part};
use super::live::Broken;
use super::part::Cut;
use crate::cancel::cancellable;
use crate::store::http::Chunks;
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
    pub(super) destination: &'a Destination,
    pub(super) content: &'a Content<'a>,
    /// What is to be completed; nothing for an object that is written at once.
    upload: Option<Upload>,
    /// Whether a part had to be read again: from then on they are kept until they were taken.
    pub(super) had_to_read_again: Arc<AtomicBool>,
}

/// An upload that was begun.
pub(super) struct Upload {
    pub(super) id: String,
    /// What earlier passes have brought.
    pub(super) done: Vec<UploadedPart>,
}

impl<'a> Writer<'a> {
    /// Begins an upload, or takes one up again.
    pub(crate) async fn begin(
        destination: &'a Destination,
        content: &'a Content<'a>,
        journal: Option<Journal>,
        cut: &Cut,
    ) -> Result<Self, StoreError> {
        let upload = match journal {
            Some(journal) => Some(Upload { id: journal.upload, done: journal.parts }),
            None if cut.least_parts() > 1 => {
                let Destination { store, key, .. } = destination;
                let request = store.create_multipart(key, content.attributes);
                let id = cancellable(&destination.stop.cancel, store.place(), request).await?;
                Some(Upload { id, done: Vec::new() })
            }
            None => None,
        };
        Ok(Self { destination, content, upload, had_to_read_again: Arc::default() })
    }

    /// The way of parts to it.
    pub(crate) fn lane(&self, parts: Sender<Part>, place: usize) -> Lane {
        Lane {
            place,
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
        transfer: &Transfer,
        sent: impl Fn(u64) + Sync,
    ) -> Result<Sent, StoreError> {
        let algorithm = self.algorithm();
        if let Some(upload) = self.upload.take() {
            return self.write_parts(upload, algorithm, (parts, transfer), sent).await;
        }
        let Destination { store, key, condition, stop, .. } = self.destination;
        let part = parts.recv().await;
        let Part { pieces, room, .. } = part.ok_or_else(|| self.broken(Broken::Source))?;
        let (chunks, end) = pieces.collect().await.map_err(|broken| self.broken(broken))?;
        let payload = payload(chunks, end.digests.checksum(algorithm));
        let size = payload.size();
        let request = store.put(key, self.content.attributes, payload, condition);
        let written = cancellable(&stop.cancel, store.place(), request).await;
        drop(room);
        let outcome = self.sent(written, None)?;
        sent(size);
        Ok(outcome)
    }

    /// How a write has ended. Whether a condition was not met for what another has written, or for our own, tells the proof that
    /// follows.
    pub(super) fn sent(
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

    pub(super) fn broken(&self, broken: Broken) -> StoreError {
        let kind = match broken {
            Broken::Source => StoreErrorKind::Cancelled,
            Broken::TooLarge { .. } => StoreErrorKind::Rejected,
        };
        self.destination.failed(kind, &broken.to_string())
    }
}

/// Bytes with their checksum: computed now, where it is not known.
pub(super) fn payload(chunks: Chunks, checksum: Option<Checksum>) -> Payload {
    match checksum {
        Some(checksum) => Payload::new(chunks, checksum),
        None => Payload::summed(chunks),
    }
}
