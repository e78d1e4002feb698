//! A target in the course of a pass.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::judge::listings_agree;
use super::types::{SyncTarget, TargetError};
use crate::checkpoint::Unsaved;
use crate::copy::Copy;
use crate::journal::Journals;
use crate::publish::{StateFile, source_identity};
use crate::source_tags::SourceTags;
use crate::surplus::Surplus;
use crate::{ObjectSummary, RESERVED_PREFIX, Replica, Sha256, State, StoreError};

pub(super) struct Target {
    pub(super) replica: Replica,
    /// What is remembered of objects that the listings alone do not settle.
    pub(super) memory: State,
    file: Option<StateFile>,
    /// How far large objects have come; `None` where that could not be found out.
    pub(super) journals: Option<Arc<Journals>>,
    pub(super) surplus: Surplus,
    pub(super) report: SyncTarget,
    /// Set once every further object would meet the same error.
    gave_up: Arc<OnceLock<StoreError>>,
    unsaved: Unsaved,
}

impl Target {
    /// Looks at what earlier passes have left there.
    pub(super) async fn look(replica: Replica, source: &Replica, cancel: &CancellationToken) -> Self {
        let gave_up = Arc::new(OnceLock::new());
        let look = async {
            let key = memory_key(&replica);
            let (file, memory) = StateFile::load(&replica, key, source_identity(source), cancel).await?;
            Ok((file, memory, Journals::load(&replica, cancel).await))
        };
        let look = look.await.map_err(|error| gave_up.set(error)).ok();
        let (file, memory, journals) = match look {
            Some((file, memory, journals)) => (Some(file), memory, journals.map(Arc::new)),
            None => (None, State::default(), None),
        };
        Self {
            replica,
            memory,
            file,
            journals,
            surplus: Surplus::default(),
            report: SyncTarget::default(),
            gave_up,
            unsaved: Unsaved::default(),
        }
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.gave_up.get().is_some()
    }

    pub(super) fn give_up(&self, error: StoreError) {
        // The first one says why; the others were on their way.
        self.gave_up.get_or_init(|| error);
    }

    /// An object was proven there.
    pub(super) async fn copied(&mut self, source: &ObjectSummary, copy: Copy) {
        self.report.copied += 1;
        self.report.copied_bytes += copy.entry.size;
        if copy.has_attributes && !self.replica.store.keeps_attributes() {
            self.report.attributes_lost += 1;
        }
        if let SourceTags::Read(tags) = &copy.tags
            && let Some(lost) = self.replica.store.tags_lost(tags)
        {
            *self.report.tags_lost.entry(lost).or_default() += 1;
        }
        let source = ObjectSummary {
            etag: copy.entry.source_etag.clone(),
            modified: copy.entry.source_modified,
            ..source.clone()
        };
        let target = ObjectSummary {
            etag: copy.entry.target_etag.clone(),
            modified: copy.modified,
            md5: None,
            ..source.clone()
        };
        if listings_agree(&source, &target) {
            self.memory.entries.remove(&source.key);
            return;
        }
        self.unsaved.add(copy.entry.size);
        self.memory.entries.insert(source.key, copy.entry);
        if self.unsaved.is_due(self.memory.entries.len())
            && let Err(error) = self.save().await
        {
            tracing::warn!(%error, "what is remembered of the copy is not kept yet");
        }
    }

    /// Keeps what is remembered, so that an interrupted pass loses little.
    async fn save(&mut self) -> Result<(), StoreError> {
        self.unsaved = Unsaved::default();
        match &mut self.file {
            Some(file) => file.save(&self.replica, &self.memory).await,
            None => Ok(()),
        }
    }

    pub(super) fn failed(&mut self, error: &StoreError) {
        self.report.failed += 1;
        if error.concerns_whole_bucket() {
            self.give_up(error.clone());
        }
    }

    /// Keeps what is remembered; says how the target is.
    pub(super) async fn end(mut self, keep: bool) -> SyncTarget {
        if let Some(error) = self.gave_up.get() {
            self.report.error = Some(TargetError::Store(error.clone()));
        }
        if keep && let Err(error) = self.save().await {
            self.report.error.get_or_insert(TargetError::Store(error));
        }
        self.report
    }
}

/// Where a target keeps what is remembered.
fn memory_key(target: &Replica) -> String {
    let digest = Sha256::of(target.prefix.as_bytes()).to_string();
    format!("{RESERVED_PREFIX}sync/{}.jsonl", &digest[..16])
}
