//! What became of an object that was to be copied.

use skyfleet_transform::NotCut;
use tokio::task::JoinError;

use super::listing::Listed;
use super::round::{Attempted, Done, Needed, Round};
use super::types::{MirrorEvent, TagsUnread};
use crate::transfer::source_tags::SourceTags;
use crate::transfer::{Copy, SourceRead};
use crate::{ObjectFailure, ObjectSummary, StoreError, StoreErrorKind};

impl Round<'_> {
    pub(super) fn take(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Copied(attempted)) => {
                if let Some(slots) = &mut self.slots {
                    attempted.indices.iter().for_each(|target| slots.end(*target));
                }
                self.take_copies(attempted);
                self.begin_waiting();
            }
            Ok(Done::PutAway(put_away)) => self.was_put_away(put_away),
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        }
    }

    pub(super) fn take_copies(&mut self, attempted: Attempted) {
        let Attempted { object, source_key, how, indices, ways, refusals, outcome } = attempted;
        let mut open = Vec::new();
        for ((index, way), refusal) in indices.iter().zip(ways).zip(refusals) {
            match refusal {
                Some(error) => self.copied(*index, &object, Err(error)),
                None => open.push((*index, way)),
            }
        }
        let copies = match outcome {
            Ok(SourceRead::Whole(copies)) => copies,
            // It left the source after it was listed; the next pass removes it, where that is asked for.
            Ok(SourceRead::Vanished) => {
                self.report.compared -= 1;
                self.report.compared_bytes -= object.size;
                self.leave_behind(&indices);
                for (index, _) in open {
                    self.targets[index].forget(&object.key);
                }
                return;
            }
            Err(error) => {
                for (index, _) in open {
                    self.targets[index].keep_remembered(&object.key);
                }
                return self.source_failed(ObjectFailure { key: object.key, error });
            }
        };
        let is_another = |copy: &Result<Copy, StoreError>| copy.as_ref().is_ok_and(|copy| copy.is_not_of(&object));
        if copies.iter().any(is_another) {
            self.leave_behind(&indices);
        }
        self.tags_unread(&copies);
        if let Some(made) = copies.iter().flatten().find_map(|copy| copy.entry.made.as_ref()) {
            self.report.rows.add(&made.rows);
        }
        if copies.iter().all(|copy| copy.as_ref().is_ok_and(|copy| copy.by_store)) {
            // It did not leave its service.
            self.report.source_bytes -= object.size;
        }
        for ((index, way), copy) in open.into_iter().zip(copies) {
            match copy {
                Err(error) if self.was_set_aside(index, &error) => {
                    self.go_on_aside(index, (object.clone(), source_key.clone(), how.clone()), way);
                }
                copy => self.copied(index, &object, copy),
            }
        }
    }

    /// Counts an object whose tags stay behind, once for all targets.
    fn tags_unread(&mut self, copies: &[Result<Copy, StoreError>]) {
        if let Some(SourceTags::Unread(error)) = copies.iter().flatten().map(|copy| &copy.tags).next() {
            let unread = self.report.tags_unread.get_or_insert_with(|| TagsUnread { objects: 0, error: error.clone() });
            unread.objects += 1;
        }
    }

    /// Those that needed nothing have the version that was listed, which is not the source's any more.
    fn leave_behind(&mut self, indices: &[usize]) {
        let others = self.targets.iter_mut().enumerate().filter(|(index, _)| !indices.contains(index));
        others.for_each(|(_, target)| target.is_behind = true);
    }

    /// An object that cannot be cut is not read at all.
    pub(super) fn refuse(&mut self, listed: &Listed, why: &NotCut, needed_by: Vec<Needed>) {
        for Needed { target, remembered, .. } in needed_by {
            self.targets[target].carry(&listed.object.key, remembered);
        }
        let key = listed.source_key().to_owned();
        let place = self.shared.source.store.place();
        let error = place.error(StoreErrorKind::Rejected, format!("cut {key:?} into pieces"), why.to_string());
        self.source_failed(ObjectFailure { key, error });
    }

    pub(super) fn source_failed(&mut self, failure: ObjectFailure) {
        self.report.source_failures += 1;
        if failure.error.concerns_whole_bucket() {
            self.source_is_lost.get_or_insert(failure.error.clone());
        }
        failure.clone().keep_in(&mut self.report.failures);
        (self.shared.progress)(MirrorEvent::Failed { target: None, failure });
    }

    pub(super) fn copied(&mut self, index: usize, object: &ObjectSummary, copy: Result<Copy, StoreError>) {
        let (target, key) = (&mut self.targets[index], object.key.clone());
        let event = match copy {
            Ok(copy) => {
                let bytes = copy.entry.size;
                target.copied(object, copy);
                MirrorEvent::Copied { target: index, key, bytes }
            }
            Err(error) => {
                let failure = ObjectFailure { key, error };
                target.keep_remembered(&failure.key);
                target.failed(failure.clone());
                MirrorEvent::Failed { target: Some(index), failure }
            }
        };
        (self.shared.progress)(event);
    }
}
