//! Copies what the plan says, several objects at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::types::{MirrorEvent, MirrorOptions, ObjectFailure, ProgressSink, Replica, TargetOutcome};
use crate::checkpoint::Unsaved;
use crate::copy::{Copy, SourceRead, copy_object};
use crate::egress::Spending;
use crate::fan_out::{Destination, Transfer};
use crate::journal::Journals;
use crate::publish::StateFile;
use crate::surplus::Surplus;
use crate::{Cost, Deletion, Left, ObjectCopy, Sha256, SourceLimits, State, StateEntry, StoreError};

/// What all tasks of a pass share.
pub(super) struct Pass {
    pub(super) source: Replica,
    pub(super) transfer: Transfer,
    pub(super) publish_to_source: bool,
    pub(super) deletion: Deletion,
    limits: SourceLimits,
    progress: ProgressSink,
}

impl Pass {
    pub(super) fn new(
        source: Replica,
        options: &MirrorOptions,
        cancel: CancellationToken,
        progress: ProgressSink,
    ) -> Self {
        let limits = options.source_limits;
        let transfer = Transfer::new(options.limits, options.verification, cancel).with_sha256();
        let transfer = transfer.within(limits);
        Self {
            source,
            transfer,
            publish_to_source: options.publish_to_source,
            deletion: options.deletion,
            limits,
            progress,
        }
    }
}

/// A target in the course of a pass.
pub(super) struct Target {
    pub(super) replica: Replica,
    /// `None` when the target could not be looked at.
    pub(super) file: Option<StateFile>,
    /// How far large objects have come; `None` where that could not be found out.
    pub(super) journals: Option<Arc<Journals>>,
    /// What is proven at the target so far.
    pub(super) state: State,
    /// What the source does not have, where that is known and to be removed.
    pub(super) surplus: Option<Surplus>,
    pub(super) outcome: TargetOutcome,
    /// Set once every further object would meet the same error.
    gave_up: Arc<OnceLock<StoreError>>,
    unsaved: Unsaved,
}

impl Target {
    pub(super) fn new(
        replica: Replica,
        look: Result<(StateFile, Option<Journals>), StoreError>,
        state: State,
        surplus: Option<Surplus>,
    ) -> Self {
        let gave_up = Arc::new(OnceLock::new());
        let (file, journals) = look.map_err(|error| gave_up.set(error)).ok().unzip();
        Self {
            replica,
            file,
            journals: journals.flatten().map(Arc::new),
            state,
            surplus,
            outcome: TargetOutcome::default(),
            gave_up,
            unsaved: Unsaved::default(),
        }
    }

    pub(super) fn error(&self) -> Option<&StoreError> {
        self.gave_up.get()
    }

    /// Keeps the state in the target's bucket, so that an interrupted pass loses little.
    pub(super) async fn save(&mut self) -> Result<(), StoreError> {
        self.unsaved = Unsaved::default();
        match &mut self.file {
            Some(file) => file.save(&self.replica, &self.state).await,
            None => Ok(()),
        }
    }
}

/// What copying came to.
pub(super) struct Copied {
    pub(super) targets: Vec<Target>,
    /// Size and digest of what was read from the source in this pass.
    pub(super) contents: HashMap<String, (u64, Sha256)>,
    /// Objects that left the source meanwhile.
    pub(super) vanished: HashSet<String>,
    pub(super) source_failures: Vec<ObjectFailure>,
    pub(super) left: Left,
    /// Every further read would meet the same error.
    source_is_lost: bool,
}

/// How one object went.
struct Attempted {
    key: String,
    /// The targets, in the order of the copies.
    indices: Vec<usize>,
    source: Result<SourceRead, StoreError>,
}

/// Copies all, at most `limits.objects` at once. Ends early when the source fails as a whole or on cancellation.
pub(super) async fn run(pass: &Arc<Pass>, targets: Vec<Target>, copies: Vec<ObjectCopy>) -> Copied {
    announce(pass, targets.len(), &copies);
    let mut so_far = Copied {
        targets,
        contents: HashMap::new(),
        vanished: HashSet::new(),
        source_failures: Vec::new(),
        left: Left::default(),
        source_is_lost: false,
    };
    let (mut copies, mut running) = (copies.into_iter(), JoinSet::new());
    let mut spending = Spending::new(pass.limits.egress);
    loop {
        while running.len() < pass.transfer.limits.objects.max(1)
            && !so_far.must_stop(pass)
            && let Some(copy) = copies.next()
        {
            let destinations = so_far.destinations(&copy);
            if destinations.is_empty() {
                continue;
            }
            if let Err(cost) = spending.reserve(copy.object.size) {
                so_far.leave(copy.object.size, cost, &destinations);
            } else {
                running.spawn(attempt(pass.clone(), copy.object.key, copy.object.size, destinations));
            }
        }
        match running.join_next().await {
            Some(Ok(attempted)) => so_far.take(pass, attempted).await,
            Some(Err(failure)) => std::panic::resume_unwind(failure.into_panic()),
            None => return so_far,
        }
    }
}

fn announce(pass: &Pass, targets: usize, copies: &[ObjectCopy]) {
    for target in 0..targets {
        let needed = copies.iter().filter(|copy| copy.targets.contains(&target));
        let (objects, bytes) = needed.fold((0, 0), |(objects, bytes), copy| (objects + 1, bytes + copy.object.size));
        (pass.progress)(MirrorEvent::Planned { target, objects, bytes });
    }
}

impl Copied {
    fn must_stop(&self, pass: &Pass) -> bool {
        pass.transfer.cancel.is_cancelled() || self.source_is_lost
    }

    /// The targets that need the object and were not given up.
    fn destinations(&self, copy: &ObjectCopy) -> Vec<(usize, Destination)> {
        let alive = copy.targets.iter().filter(|index| self.targets[**index].error().is_none());
        alive
            .map(|index| {
                let Target { replica, journals, .. } = &self.targets[*index];
                let key = replica.key(&copy.object.key);
                (*index, Destination { store: replica.store.clone(), key, journals: journals.clone() })
            })
            .collect()
    }

    fn leave(&mut self, bytes: u64, cost: Cost, destinations: &[(usize, Destination)]) {
        self.left.add(bytes, cost);
        for (index, _) in destinations {
            self.targets[*index].outcome.left.add(bytes, cost);
        }
    }

    fn source_failed(&mut self, key: String, error: StoreError) {
        self.source_is_lost |= error.concerns_whole_bucket();
        if self.source_failures.len() < ObjectFailure::KEPT {
            self.source_failures.push(ObjectFailure { key, error });
        }
    }

    async fn take(&mut self, pass: &Pass, Attempted { key, indices, source }: Attempted) {
        let copies = match source {
            Ok(SourceRead::Whole(copies)) => copies,
            Ok(SourceRead::Vanished) => return self.vanished.extend([key]),
            Err(error) => return self.source_failed(key, error),
        };
        for (index, copy) in indices.into_iter().zip(copies) {
            let (target, key) = (&mut self.targets[index], key.clone());
            match copy {
                Ok(Copy { entry, .. }) => {
                    if let Some(sha256) = entry.sha256 {
                        self.contents.insert(key.clone(), (entry.size, sha256));
                    }
                    let bytes = entry.size;
                    target.copied(key.clone(), entry).await;
                    (pass.progress)(MirrorEvent::Copied { target: index, key, bytes });
                }
                Err(error) => {
                    target.failed(key.clone(), error.clone());
                    (pass.progress)(MirrorEvent::Failed { target: index, key, error });
                }
            }
        }
    }
}

impl Target {
    async fn copied(&mut self, key: String, entry: StateEntry) {
        self.outcome.copied_objects += 1;
        self.outcome.copied_bytes += entry.size;
        self.unsaved.add(entry.size);
        self.state.entries.insert(key, entry);
        if self.unsaved.is_due(self.state.entries.len())
            && let Err(error) = self.save().await
        {
            tracing::warn!(%error, "the state of the copy is not kept yet");
        }
    }

    fn failed(&mut self, key: String, error: StoreError) {
        self.outcome.failed_objects += 1;
        if error.concerns_whole_bucket() {
            // The first one says why; the others were on their way.
            self.gave_up.get_or_init(|| error.clone());
        }
        if self.outcome.failures.len() < ObjectFailure::KEPT {
            self.outcome.failures.push(ObjectFailure { key, error });
        }
    }
}

async fn attempt(pass: Arc<Pass>, key: String, size: u64, destinations: Vec<(usize, Destination)>) -> Attempted {
    let (indices, destinations): (Vec<_>, Vec<_>) = destinations.into_iter().unzip();
    let sent = |index: usize, bytes| (pass.progress)(MirrorEvent::Sent { target: indices[index], bytes });
    let source = copy_object(&pass.source, &key, size, &destinations, &pass.transfer, sent).await;
    Attempted { key, indices, source }
}
