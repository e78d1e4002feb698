//! A target in the course of a pass.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::judge::listings_agree;
use super::surplus::Surplus;
use super::types::{Dataset, TargetError, TargetReport};
use crate::state::{Asked, Book, Fits, Memory, StateEntry, TargetState};
use crate::transfer::Copy;
use crate::transfer::journal::Journals;
use crate::transfer::put_away::Leaving;
use crate::transfer::source_tags::SourceTags;
use crate::{ObjectFailure, ObjectSummary, Replica, RetryClass, StoreError, StoreErrorKind, kept_key};

pub(super) struct Target {
    pub(super) replica: Replica,
    /// What is remembered of objects; `None` where that could not be looked at.
    pub(super) state: Option<Memory>,
    /// How far large objects have come; `None` where that could not be found out.
    pub(super) journals: Option<Arc<Journals>>,
    pub(super) surplus: Surplus,
    pub(super) report: TargetReport,
    /// It holds objects in another version than others have got meanwhile.
    pub(super) is_behind: bool,
    pub(super) manner: Manner,
    /// Whether something is being, or was, put away.
    pub(super) puts_away: bool,
    /// Whether contents are lost, or may be, that older versions name: those that another has overwritten or removed, or of which
    /// nothing is remembered.
    pub(super) loses: bool,
    /// Set once every further object would meet the same error.
    gave_up: Arc<OnceLock<StoreError>>,
}

/// What a pass does with its targets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Whether all is remembered; else the listings settle what they can.
    pub(super) remembers_all: bool,
    /// Whether what leaves the newest version is put away for older ones.
    pub(super) keeps_versions: bool,
    /// Nothing is written.
    pub(super) is_dry: bool,
}

impl Target {
    /// Looks at what earlier passes have left there of what will be asked for.
    pub(super) async fn look(
        replica: Replica,
        (book, asked): (Book, Asked<'_>),
        manner: Manner,
        cancel: &CancellationToken,
    ) -> Self {
        let gave_up = Arc::new(OnceLock::new());
        let mut state = Memory::open(book, asked, cancel).await.map_err(|error| gave_up.set(error)).ok();
        if let (true, Some(state)) = (manner.keeps_versions, state.as_mut().and_then(Memory::pages_mut)) {
            state.keep_versions();
        }
        let journals = if state.is_some() { Journals::load(&replica, cancel).await } else { None };
        Self {
            replica,
            state,
            journals: journals.map(Arc::new),
            surplus: Surplus::default(),
            report: TargetReport::default(),
            is_behind: false,
            manner,
            puts_away: false,
            loses: false,
            gave_up,
        }
    }

    pub(super) fn error(&self) -> Option<&StoreError> {
        self.gave_up.get()
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.error().is_some()
    }

    pub(super) fn give_up(&self, error: StoreError) {
        // The first one says why; the others were on their way.
        self.gave_up.get_or_init(|| error);
    }

    /// What is remembered of all objects; `None` where it could not be looked at, or only a part of them is.
    pub(super) fn pages(&self) -> Option<&TargetState> {
        self.state.as_ref().and_then(Memory::pages)
    }

    /// What is known of an object, and fits best. To be asked for in the order of keys.
    pub(super) async fn recall(&mut self, key: &str, fits: &Fits<'_>) -> Option<StateEntry> {
        if self.is_given_up() {
            return None;
        }
        match self.state.as_mut()?.recall(key, fits).await {
            Ok(entry) => entry,
            Err(error) => {
                self.give_up(error);
                None
            }
        }
    }

    /// What is remembered of an object stays so.
    pub(super) fn carry(&mut self, key: &str, entry: Option<StateEntry>) {
        if let (Some(entry), Some(state), false) = (entry, &mut self.state, self.manner.is_dry) {
            state.carry(key.to_owned(), entry);
        }
    }

    /// An object was there already, as listings tell. Where all is remembered, so is that.
    pub(super) fn found(&mut self, source: &ObjectSummary, held: &ObjectSummary) {
        if let (true, false, Some(state)) = (self.manner.remembers_all, self.manner.is_dry, &mut self.state) {
            let entry = StateEntry {
                size: source.size,
                sha256: None,
                source_etag: source.etag.clone(),
                source_modified: source.modified,
                target_etag: held.etag.clone(),
                made: None,
            };
            state.expect(source.key.clone(), None);
            state.settle(&source.key, Some(entry));
        }
    }

    /// The object is being copied; what is remembered of the one that it takes the place of holds until then.
    pub(super) fn expect(&mut self, key: &str, remembered: Option<StateEntry>) {
        if let Some(state) = &mut self.state {
            state.expect(key.to_owned(), remembered);
        }
    }

    /// An object that was expected will not come, and belongs to the dataset no more.
    pub(super) fn forget(&mut self, key: &str) {
        if let Some(state) = &mut self.state {
            state.settle(key, None);
        }
    }

    /// An object that was expected did not come: what lies there may be what was.
    pub(super) fn keep_remembered(&mut self, key: &str) {
        if let Some(state) = &mut self.state {
            state.keep_known(key);
        }
    }

    /// The content that would be lost if this object was overwritten or removed, where versions are kept and it is known what it is:
    /// what another has written is of no version.
    pub(super) fn content_of(
        &self,
        dataset: Option<&Dataset>,
        held: &ObjectSummary,
        remembered: Option<&StateEntry>,
    ) -> Option<Leaving> {
        let (true, Some(Dataset { name, .. })) = (self.manner.keeps_versions, dataset) else { return None };
        let entry = remembered.filter(|entry| !held.etag.is_empty() && entry.target_etag == held.etag)?;
        let sha256 = entry.sha256.filter(|_| entry.size == held.size)?;
        let object = ObjectSummary { key: self.replica.key(&held.key), ..held.clone() };
        Some(Leaving { object, sha256, to: kept_key(name, sha256) })
    }

    /// An object was proven there.
    pub(super) fn copied(&mut self, source: &ObjectSummary, copy: Copy) {
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
        let Some(state) = &mut self.state else { return };
        let (key, summary) = (&source.key, |etag: &str, modified| {
            let (key, etag) = (String::new(), etag.to_owned());
            ObjectSummary { key, size: copy.entry.size, etag, modified, md5: None }
        });
        let from = summary(&copy.entry.source_etag, copy.entry.source_modified);
        let to = summary(&copy.entry.target_etag, copy.modified);
        let is_told = !self.manner.remembers_all && listings_agree(&ObjectSummary { md5: source.md5, ..from }, &to);
        state.settle(key, (!is_told).then_some(copy.entry));
    }

    /// Something failed with an object.
    pub(super) fn failed(&mut self, failure: ObjectFailure) {
        self.report.failed += 1;
        if failure.error.concerns_whole_bucket() {
            self.give_up(failure.error.clone());
        }
        failure.keep_in(&mut self.report.failures);
    }

    /// Whether no further object should be begun.
    pub(super) fn is_waiting(&self) -> bool {
        !self.is_given_up() && !self.is_set_aside() && self.has_much_waiting()
    }

    /// Whether much of what is to be remembered waits for objects under way.
    pub(super) fn has_much_waiting(&self) -> bool {
        self.state.as_ref().is_some_and(Memory::is_waiting)
    }

    /// Whether the others do not wait for it any more.
    pub(super) fn is_set_aside(&self) -> bool {
        self.report.left_behind.is_some()
    }

    /// An object that it needs does not come in this pass.
    pub(super) fn leave_behind(&mut self) {
        *self.report.left_behind.get_or_insert_default() += 1;
    }

    /// Writes what is ready of what is remembered.
    pub(super) async fn write(&mut self) {
        if self.is_given_up() {
            return;
        }
        if let Some(state) = &mut self.state
            && state.is_due()
            && let Err(error) = state.write().await
        {
            self.give_up(error);
        }
    }

    /// Keeps what is remembered: all of it, after a pass that has seen every object; else what there is by now.
    pub(super) async fn keep(&mut self, is_whole: bool) {
        // What the whole bucket refused, it would refuse again; what that forgets is bounded by what was kept on the way.
        let passes =
            |error: &StoreError| error.kind == StoreErrorKind::Cancelled || error.retry() != RetryClass::Permanent;
        let is_open = self.error().is_none_or(passes);
        let is_whole = is_whole && !self.is_given_up();
        let Some(state) = self.state.as_mut().filter(|_| is_open && !self.manner.is_dry) else { return };
        let kept = if is_whole { state.finish().await } else { state.keep().await };
        if let Err(error) = kept {
            self.give_up(error);
        }
    }

    /// Whether all that the source has was proven to be there, in one version.
    pub(super) fn holds_all(&self) -> bool {
        !self.is_given_up() && !self.is_behind && self.report.failed == 0 && self.report.lacks_nothing()
    }

    /// Says how it is.
    pub(super) fn end(mut self) -> TargetReport {
        if let Some(error) = self.gave_up.get() {
            self.report.error = Some(TargetError::Store(error.clone()));
        }
        self.report
    }
}
