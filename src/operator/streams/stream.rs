//! One DatasetReplica in mode Stream.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use skyfleet_mirror::{Filter, MirrorEvent, is_reserved};
use skyfleet_stream::{Backlog, LookOutcome};
use tokio::sync::mpsc;

use super::Reference;

/// How long changes are gathered before they are looked at: each look has its own few requests.
const GATHERING: Duration = Duration::from_millis(500);
/// Keys of one look at most: what is told meanwhile should not wait long.
const MOST_AT_ONCE: usize = 10_000;
/// How often the status tells of it at most.
const SAYING: SignedDuration = SignedDuration::from_secs(10);

/// What a stream reads, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Relative to the Bucket.
    pub(crate) prefix: String,
    /// Over keys relative to that prefix.
    pub(crate) filter: Filter,
    /// How many targets there are.
    pub(crate) targets: usize,
    /// Tells it from one with another filter or other targets.
    pub(crate) version: String,
}

/// What is told for one DatasetReplica, until it is mirrored.
pub(crate) struct Stream {
    reference: Reference,
    selection: Selection,
    wake: mpsc::Sender<Reference>,
    is_waking: Arc<AtomicBool>,
    backlog: Mutex<Backlog>,
    said: Mutex<Option<Timestamp>>,
}

impl Stream {
    pub(super) fn new(
        reference: Reference,
        selection: Selection,
        wake: mpsc::Sender<Reference>,
        now: Timestamp,
    ) -> Self {
        let backlog = Mutex::new(Backlog::new(selection.targets, now));
        Self { reference, selection, wake, is_waking: Arc::default(), backlog, said: Mutex::default() }
    }

    pub(super) fn is_of(&self, selection: &Selection) -> bool {
        self.selection.version == selection.version
    }

    /// Somebody says that an object of the Bucket may have changed, or, without a key, that something has.
    pub(super) fn tell(&self, key: Option<&str>, at: Option<Timestamp>, now: Timestamp) {
        let key = match key {
            Some(key) => match key.strip_prefix(&self.selection.prefix) {
                Some(key) if !is_reserved(key) && self.selection.filter.keeps(key) => Some(key),
                _ => return,
            },
            None => None,
        };
        self.backlog().tell(key, at, now);
        self.wake_soon();
    }

    fn wake_soon(&self) {
        if self.is_waking.swap(true, Ordering::SeqCst) {
            return;
        }
        let (wake, reference) = (self.wake.clone(), self.reference.clone());
        tokio::spawn(async move {
            tokio::time::sleep(GATHERING).await;
            // A closed channel means that the controllers have ended.
            let _closed = wake.send(reference).await;
        });
    }

    /// The controller looks at it: what is told from now on wakes it again.
    pub(crate) fn is_awake(&self) {
        self.is_waking.store(false, Ordering::SeqCst);
    }

    /// Whether there is something that only a look at everything will find.
    pub(crate) fn needs_listing(&self) -> bool {
        self.backlog().needs_listing()
    }

    /// Whether there is something to look at, and a target to bring it to.
    pub(crate) fn has_changes(&self) -> bool {
        let backlog = self.backlog();
        backlog.waiting() > 0 && backlog.in_step().contains(&true)
    }

    /// Keys to look at now; for each target whether it gets them, and how many objects it lost since all was looked at.
    pub(crate) fn take(&self) -> (Vec<String>, Vec<bool>, Vec<u64>) {
        let mut backlog = self.backlog();
        (backlog.take(MOST_AT_ONCE), backlog.in_step(), backlog.removed())
    }

    /// Those were looked at.
    pub(crate) fn end_look(&self, outcome: &LookOutcome) {
        self.backlog().end_look(outcome);
    }

    /// A look at everything begins.
    pub(crate) fn begin_listing(&self, now: Timestamp) {
        self.backlog().begin_listing(now);
    }

    /// What happens in it, by the place of the target among those of the spec. A change counts as told when it was made, but not from
    /// before there was a `first` time to count from.
    pub(crate) fn note(&self, event: &MirrorEvent, target: usize, first: Timestamp) {
        match event {
            MirrorEvent::Differs { key, modified, .. } => {
                let changed = Timestamp::from_second(*modified).unwrap_or(first).max(first);
                self.backlog().found_missing(target, key, changed);
            }
            MirrorEvent::Copied { key, .. } => self.backlog().found_copied(target, key),
            _ => {}
        }
    }

    /// It has ended; for each target, whether it has everything.
    pub(crate) fn end_listing(&self, complete: &[bool]) {
        self.backlog().end_listing(complete);
    }

    /// How many objects are known to have changed and are not mirrored everywhere.
    pub(crate) fn pending(&self) -> usize {
        self.backlog().pending()
    }

    /// The age of the oldest change that a target is known not to have.
    pub(crate) fn lag(&self, target: usize, now: Timestamp) -> Option<SignedDuration> {
        self.backlog().lag(target, now)
    }

    /// That of the target that is furthest behind.
    pub(crate) fn longest_lag(&self, now: Timestamp) -> Option<SignedDuration> {
        self.backlog().longest_lag(now)
    }

    /// When the status may tell of it again, where that is not now; once it may, it counts as told.
    pub(crate) fn silence(&self, now: Timestamp) -> Option<Duration> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = said.map(|said| SAYING - now.duration_since(said).max(SignedDuration::ZERO));
        if let Some(rest) = rest.and_then(|rest| Duration::try_from(rest).ok()).filter(|rest| !rest.is_zero()) {
            return Some(rest);
        }
        *said = Some(now);
        None
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
