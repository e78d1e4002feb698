//! A target in the course of a pass.

use std::sync::{Arc, OnceLock};

use super::deletion::Surplus;
use super::judge::listings_agree;
use super::types::{SyncTarget, TargetError};
use crate::checkpoint::Unsaved;
use crate::copy::Copy;
use crate::publish::StateFile;
use crate::{ObjectSummary, Replica, State, StoreError};

pub(super) struct Target {
    pub(super) replica: Replica,
    /// What is remembered of objects that the listings alone do not settle.
    pub(super) memory: State,
    file: Option<StateFile>,
    pub(super) surplus: Surplus,
    pub(super) report: SyncTarget,
    /// Set once every further object would meet the same error.
    gave_up: Arc<OnceLock<StoreError>>,
    unsaved: Unsaved,
}

impl Target {
    pub(super) fn new(replica: Replica, memory: Result<(StateFile, State), StoreError>) -> Self {
        let gave_up = Arc::new(OnceLock::new());
        let memory = memory.map_err(|error| gave_up.set(error)).ok();
        let (file, memory) = memory.map_or((None, State::default()), |(file, memory)| (Some(file), memory));
        Self {
            replica,
            memory,
            file,
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
