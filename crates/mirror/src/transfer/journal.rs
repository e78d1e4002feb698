//! How far the copying of large objects has come: kept beside the data of a target, so that a pass after one that was killed goes
//! on in the middle of an object.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::cancel::cancellable;
use crate::content::Whole;
use crate::dataset::document::{read_document, write_document};
use crate::store::upload_id::family;
use crate::{ObjectHead, RESERVED_PREFIX, Replica, StoreError, StoreErrorKind, UploadedPart, list};

/// The version of an object that is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceVersion {
    place: String,
    etag: String,
    size: u64,
    modified: i64,
}

impl SourceVersion {
    /// `None` when nothing names it.
    pub(crate) fn of(source: &Replica, head: &ObjectHead) -> Option<Self> {
        let place = source.identity();
        let version = Self { place, etag: head.etag.clone(), size: head.size, modified: head.modified };
        (!head.etag.is_empty()).then_some(version)
    }
}

/// An upload that was not completed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Journal {
    /// The key, as the target's store has it.
    pub(crate) key: String,
    pub(crate) upload: String,
    pub(crate) source: SourceVersion,
    /// Those the store has, from the first on, with none left out.
    pub(crate) parts: Vec<UploadedPart>,
    /// The digests of those.
    pub(crate) whole: Whole,
}

impl Journal {
    /// Whether a copy of this version, cut into these parts, can go on from here.
    pub(crate) fn fits(&self, source: &SourceVersion, sizes: &[u64]) -> bool {
        let done = sizes.get(..self.parts.len()).unwrap_or_default();
        self.source == *source
            && self.parts.len() < sizes.len()
            && self.parts.iter().map(|part| part.size).eq(done.iter().copied())
            && self.whole.size == done.iter().sum::<u64>()
    }
}

/// The journals of one target.
#[derive(Debug)]
pub(crate) struct Journals {
    replica: Replica,
    /// Those that are there, by their key; whether this pass has had to do with them.
    known: Mutex<BTreeMap<String, bool>>,
}

impl Journals {
    /// Looks which there are. They only save work: a target where they may not be listed is served without.
    pub(crate) async fn load(replica: &Replica, cancel: &CancellationToken) -> Option<Self> {
        let journals = Self { replica: replica.clone(), known: Mutex::default() };
        let folder = journals.folder();
        let found = list(&*replica.store, &folder).try_collect::<Vec<_>>();
        match cancellable(cancel, replica.store.place(), found).await {
            Ok(found) => journals.known().extend(found.into_iter().map(|object| (object.key, false))),
            Err(error) => {
                tracing::warn!(%error, "large objects begin at their start");
                return None;
            }
        }
        Some(journals)
    }

    /// The journal of a key, if there is one that can be read.
    pub(crate) async fn of(&self, key: &str, cancel: &CancellationToken) -> Option<Journal> {
        let name = self.name(key);
        *self.known().get_mut(&name)? = true;
        let journal = self.read(&name, cancel).await?;
        (journal.key == key).then_some(journal)
    }

    pub(crate) async fn keep(&self, journal: &Journal) -> Result<(), StoreError> {
        let name = self.name(&journal.key);
        let failed = |error: serde_json::Error| {
            self.replica.store.place().error(StoreErrorKind::Rejected, "write a journal", error.to_string())
        };
        let bytes = serde_json::to_vec(journal).map_err(failed)?;
        write_document(&self.replica, &name, bytes).await?;
        self.known().insert(name, true);
        Ok(())
    }

    /// The upload is complete.
    pub(crate) async fn close(&self, key: &str) {
        let name = self.name(key);
        if self.known().contains_key(&name) {
            self.remove(&name).await;
        }
    }

    /// Nobody can go on from there: throws the upload away.
    pub(crate) async fn discard(&self, key: &str, cancel: &CancellationToken) {
        let name = self.name(key);
        if self.known().contains_key(&name) {
            self.throw_away(&name, cancel).await;
        }
    }

    /// Throws away what this pass, which has seen all objects, has not come upon: their objects have left the source.
    pub(crate) async fn sweep(&self, cancel: &CancellationToken) {
        let unseen: Vec<_> = self.known().iter().filter(|(_, seen)| !**seen).map(|(name, _)| name.clone()).collect();
        for name in unseen {
            self.throw_away(&name, cancel).await;
        }
    }

    async fn throw_away(&self, name: &str, cancel: &CancellationToken) {
        if let Some(journal) = self.read(name, cancel).await
            && let Err(error) = self.replica.store.abort_multipart(&journal.key, &journal.upload).await
        {
            // Its journal stays, so that the next pass tries again.
            tracing::warn!(%error, "parts of an upload that nobody goes on with are left");
            return;
        }
        self.remove(name).await;
    }

    async fn remove(&self, name: &str) {
        match self.replica.store.delete(name).await {
            Ok(()) => _ = self.known().remove(name),
            Err(error) => tracing::warn!(%error, "a journal that is of no use any more is left"),
        }
    }

    /// One that cannot be read is none: it only saves work.
    async fn read(&self, name: &str, cancel: &CancellationToken) -> Option<Journal> {
        match read_document(&self.replica, name, cancel).await {
            Ok(bytes) => serde_json::from_slice(&bytes).ok(),
            Err(error) => {
                tracing::debug!(%error, "a journal cannot be read");
                None
            }
        }
    }

    /// Two copies in one bucket differ by their prefix.
    fn folder(&self) -> String {
        format!("{RESERVED_PREFIX}journals/{}/", family(&self.replica.prefix))
    }

    fn name(&self, key: &str) -> String {
        format!("{}{}.json", self.folder(), family(key))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
