//! One walk over all keys: compares, copies what differs, several objects at once, and removes at the end.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::judge::is_settled;
use super::remove::remove_surplus;
use super::rows::{Held, Row, Rows, Stopped};
use super::target::Target;
use super::types::{Deletion, SyncEvent, SyncOptions, SyncProgress, SyncReport, TargetError};
use crate::copy::{Copy, SourceRead, copy_object};
use crate::egress::Spending;
use crate::fan_out::{Destination, Transfer};
use crate::{MirrorError, ObjectFailure, ObjectSummary, Replica, StoreError};

/// Objects between two reports of how many were compared.
const REPORT_EVERY: u64 = 1000;

/// What all tasks share.
pub(super) struct Shared {
    pub(super) source: Replica,
    pub(super) transfer: Transfer,
    pub(super) progress: SyncProgress,
}

pub(super) struct Round<'a> {
    pub(super) shared: Arc<Shared>,
    pub(super) options: &'a SyncOptions,
    pub(super) targets: Vec<Target>,
    pub(super) report: SyncReport,
    spending: &'a mut Spending,
    running: JoinSet<Attempted>,
    /// Every further read would meet the same error.
    source_is_lost: Option<StoreError>,
}

pub(super) enum Ended {
    Whole(SyncReport),
    Unordered(usize),
}

/// How one object went.
struct Attempted {
    object: ObjectSummary,
    /// The targets, in the order of the copies.
    indices: Vec<usize>,
    outcome: Result<SourceRead, StoreError>,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        source: Replica,
        targets: Vec<Target>,
        options: &'a SyncOptions,
        spending: &'a mut Spending,
        cancel: CancellationToken,
        progress: SyncProgress,
    ) -> Self {
        let transfer = Transfer::new(options.limits, options.verification, cancel).within(options.source_limits);
        Self {
            shared: Arc::new(Shared { source, transfer, progress }),
            options,
            targets,
            report: SyncReport::default(),
            spending,
            running: JoinSet::new(),
            source_is_lost: None,
        }
    }

    pub(super) async fn run(mut self, sorted: &[bool]) -> Result<Ended, MirrorError> {
        let replicas: Vec<_> = self.targets.iter().map(|target| target.replica.clone()).collect();
        let mut rows = Rows::start(&self.shared.source, &replicas, sorted, &self.shared.transfer.cancel);
        let stopped = self.walk(&mut rows).await.err();
        while let Some(attempted) = self.running.join_next().await {
            self.take(attempted).await;
        }
        for (target, failure) in self.targets.iter().zip(rows.failures()) {
            if let Some(error) = failure {
                target.give_up(error);
            }
        }
        let cancelled = self.shared.transfer.cancel.is_cancelled();
        if stopped.is_none() && !cancelled && self.source_is_lost.is_none() {
            remove_surplus(&mut self).await;
            self.sweep().await;
        }
        let report = self.end().await;
        match stopped {
            _ if cancelled => Err(MirrorError::Cancelled),
            Some(Stopped::Source(error)) => Err(MirrorError::of_source(error)),
            Some(Stopped::Unordered(side)) => Ok(Ended::Unordered(side)),
            None => match report {
                Ok(report) => Ok(Ended::Whole(report)),
                Err(error) => Err(MirrorError::of_source(error)),
            },
        }
    }

    async fn walk(&mut self, rows: &mut Rows) -> Result<(), Stopped> {
        while self.source_is_lost.is_none() && self.targets.iter().any(|target| !target.is_given_up()) {
            while self.running.len() >= self.shared.transfer.limits.objects.max(1) {
                let Some(attempted) = self.running.join_next().await else { break };
                self.take(attempted).await;
            }
            while let Some(attempted) = self.running.try_join_next() {
                self.take(attempted).await;
            }
            let Some(row) = rows.next().await? else { break };
            if self.options.filter.keeps(&row.key) {
                self.compare(row);
            }
        }
        Ok(())
    }

    /// Throws away what is left of large objects that are not at the source any more.
    async fn sweep(&self) {
        if self.options.dry_run {
            return;
        }
        for target in self.targets.iter().filter(|target| !target.is_given_up()) {
            if let Some(journals) = &target.journals {
                journals.sweep(&self.shared.transfer.cancel).await;
            }
        }
    }

    fn compare(&mut self, row: Row) {
        let Some(object) = row.source else { return self.surplus(row) };
        self.report.compared += 1;
        if self.report.compared.is_multiple_of(REPORT_EVERY) {
            (self.shared.progress)(SyncEvent::Compared(REPORT_EVERY));
        }
        let in_bounds = self.options.sizes.hold(&object.size) && self.options.modified.hold(&object.modified);
        let mut needed_by = Vec::new();
        for (index, held) in row.targets.into_iter().enumerate() {
            let (target, Some(held)) = (&mut self.targets[index], held) else { continue };
            if let Held::Object(held) = held {
                target.surplus.shared();
                if in_bounds && is_settled(&object, &held, target.memory.entries.get(&object.key)) {
                    target.report.settled += 1;
                    continue;
                }
            }
            if in_bounds && !target.is_given_up() {
                needed_by.push(index);
            }
        }
        if !needed_by.is_empty() {
            self.copy(object, needed_by);
        }
    }

    fn surplus(&mut self, row: Row) {
        for (target, held) in self.targets.iter_mut().zip(row.targets) {
            if let Some(Held::Object(held)) = held {
                target.surplus.add(row.key.clone(), held.etag);
            }
        }
    }

    fn copy(&mut self, object: ObjectSummary, indices: Vec<usize>) {
        if let Err(cost) = self.spending.reserve(object.size) {
            self.report.left.add(object.size, cost);
            return indices.into_iter().for_each(|index| self.targets[index].report.left.add(object.size, cost));
        }
        self.report.source_bytes += object.size;
        for target in &indices {
            let (key, bytes) = (object.key.clone(), object.size);
            (self.shared.progress)(SyncEvent::Differs { target: *target, key, bytes });
        }
        if self.options.dry_run {
            for index in indices {
                let report = &mut self.targets[index].report;
                report.copied += 1;
                report.copied_bytes += object.size;
            }
            return;
        }
        let destination = |index: &usize| {
            let Target { replica, journals, .. } = &self.targets[*index];
            let key = replica.key(&object.key);
            Destination { store: replica.store.clone(), key, journals: journals.clone() }
        };
        let destinations: Vec<_> = indices.iter().map(destination).collect();
        self.running.spawn(attempt(self.shared.clone(), object, indices, destinations));
    }

    async fn take(&mut self, attempted: Result<Attempted, tokio::task::JoinError>) {
        let Attempted { object, indices, outcome } = match attempted {
            Ok(attempted) => attempted,
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        };
        match outcome {
            // It left the source after it was listed; the next pass removes it, where that is asked for.
            Ok(SourceRead::Vanished) => {}
            Ok(SourceRead::Whole(copies)) => {
                for (index, copy) in indices.into_iter().zip(copies) {
                    self.copied(index, &object, copy).await;
                }
            }
            Err(error) => {
                self.report.source_failures += 1;
                if error.concerns_whole_bucket() {
                    self.source_is_lost.get_or_insert(error.clone());
                }
                let failure = ObjectFailure { key: object.key, error };
                (self.shared.progress)(SyncEvent::Failed { target: None, failure });
            }
        }
    }

    async fn copied(&mut self, index: usize, object: &ObjectSummary, copy: Result<Copy, StoreError>) {
        let (target, key) = (&mut self.targets[index], object.key.clone());
        let event = match copy {
            Ok(copy) => {
                let bytes = copy.entry.size;
                target.copied(object, copy).await;
                SyncEvent::Copied { target: index, key, bytes }
            }
            Err(error) => {
                target.failed(&error);
                SyncEvent::Failed { target: Some(index), failure: ObjectFailure { key, error } }
            }
        };
        (self.shared.progress)(event);
    }

    /// Keeps what is to be remembered; the error is that of a source that was lost on the way.
    async fn end(mut self) -> Result<SyncReport, StoreError> {
        (self.shared.progress)(SyncEvent::Compared(self.report.compared % REPORT_EVERY));
        for target in self.targets {
            self.report.targets.push(target.end(!self.options.dry_run).await);
        }
        if self.report.source_failures > 0 && self.options.deletion != Deletion::Never {
            for target in &mut self.report.targets {
                target.error.get_or_insert(TargetError::SourceIncomplete);
            }
        }
        match self.source_is_lost {
            Some(error) => Err(error),
            None => Ok(self.report),
        }
    }
}

async fn attempt(
    shared: Arc<Shared>,
    object: ObjectSummary,
    indices: Vec<usize>,
    destinations: Vec<Destination>,
) -> Attempted {
    let sent = |index: usize, bytes| (shared.progress)(SyncEvent::Sent { target: indices[index], bytes });
    let outcome = copy_object(&shared.source, &object.key, object.size, &destinations, &shared.transfer, sent).await;
    Attempted { object, indices, outcome }
}
