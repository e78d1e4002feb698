//! A target in the course of a pass.

use std::sync::{Arc, OnceLock};

use super::deletion::Surplus;
use super::judge::listings_agree;
use super::types::{SyncTarget, TargetError};
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
}

impl Target {
    pub(super) fn new(replica: Replica, memory: Result<(StateFile, State), StoreError>) -> Self {
        let gave_up = Arc::new(OnceLock::new());
        let memory = memory.map_err(|error| gave_up.set(error)).ok();
        let (file, memory) = memory.map_or((None, State::default()), |(file, memory)| (Some(file), memory));
        Self { replica, memory, file, surplus: Surplus::default(), report: SyncTarget::default(), gave_up }
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.gave_up.get().is_some()
    }

    pub(super) fn give_up(&self, error: StoreError) {
        // The first one says why; the others were on their way.
        self.gave_up.get_or_init(|| error);
    }

    /// An object was proven there.
    pub(super) fn copied(&mut self, source: &ObjectSummary, copy: Copy) {
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
        } else {
            self.memory.entries.insert(source.key, copy.entry);
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
        if let Some(file) = self.file.as_mut().filter(|_| keep)
            && let Err(error) = file.save(&self.replica, &self.memory).await
        {
            self.report.error.get_or_insert(TargetError::Store(error));
        }
        self.report
    }
}
