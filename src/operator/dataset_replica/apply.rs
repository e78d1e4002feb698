//! Runs one pass of the mirror.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use jiff::Timestamp;
use skyfleet_api::conditions::Reason;
use skyfleet_api::{DatasetReplica, DatasetReplicaSpec};
use skyfleet_mirror::{
    Changed, MirrorEvent, MirrorProgress, MirrorReport, TagsUnread, TargetError, TargetReport, mirror_changed,
};
use skyfleet_stream::{LookOutcome, TargetOutcome};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::connected::{Connected, connect, connect_options, open};
use super::dereference::Found;
use super::jobs::{Jobs, JobsWanted};
use super::lineage;
use super::passes::Counters;
use super::validate::Job;
use crate::operator::context::Context;
use crate::operator::lineage::Told;
use crate::operator::streams::Stream;

/// How a pass ended.
#[derive(Debug)]
pub(crate) struct PassReport {
    /// What the source holds, or why nothing could be done.
    pub(crate) source: Result<MirrorReport, PassError>,
    /// One for each target of the job, in its order: how it is, or why it was left out.
    pub(super) targets: Vec<Result<TargetReport, String>>,
    /// Why objects were left that a Job was to copy.
    pub(super) left: Option<(Reason, String)>,
}

/// A pass that ended then.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) report: PassReport,
    pub(super) at: Timestamp,
}

/// A pass that ended.
pub(super) enum Done {
    Everything(Box<PassReport>),
    Changes(LookReport),
}

/// How a pass over what a stream was told of ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookReport {
    /// Whether every target that is not behind anyway got all of it.
    pub(super) is_complete: bool,
}

/// Why nothing could be done, and whether that passes by itself.
#[derive(Clone, Debug)]
pub(crate) struct PassError {
    pub(super) reason: Reason,
    pub(crate) message: String,
    pub(super) passing: bool,
}

impl PassReport {
    /// Whether every target holds, proven, what the source does, and nothing that was to be deleted.
    pub(super) fn complete(&self) -> bool {
        let Ok(source) = &self.source else { return false };
        let is_named = source.manifest.is_some() || source.shard_index.is_some();
        let is_complete = |target: &TargetReport| holds_its_own(source, target) && target.is_complete();
        is_named && self.targets.iter().all(|target| target.as_ref().is_ok_and(is_complete))
    }

    /// For each target, whether it has all that the source has now.
    fn up_to_date(&self) -> Vec<bool> {
        let source = self.source.as_ref().ok().filter(|source| source.source_failures == 0);
        let has_all = |target: &Result<TargetReport, String>| {
            source.zip(target.as_ref().ok()).is_some_and(|(source, target)| {
                holds_its_own(source, target) && target.failed == 0 && !has_failed(target) && target.lacks_nothing()
            })
        };
        self.targets.iter().map(has_all).collect()
    }

    /// Whether to try again soon is of no use: all is done, or the rest is for a later pass to pay.
    pub(super) fn rests(&self) -> bool {
        self.complete() || self.is_over_budget()
    }

    /// The targets that were so slow that objects were left behind for them, by their place.
    pub(super) fn set_aside(&self) -> BTreeSet<usize> {
        let is_behind = |target: &Result<TargetReport, String>| {
            target.as_ref().is_ok_and(|target| target.left_behind.is_some_and(|objects| objects > 0))
        };
        let targets = self.targets.iter().enumerate();
        targets.filter(|(_, target)| is_behind(target)).map(|(place, _)| place).collect()
    }

    /// Whether nothing is wrong but that targets are slow: then the next pass goes on at once.
    pub(super) fn is_only_slow(&self) -> bool {
        let Ok(source) = &self.source else { return false };
        let goes_well = |target: &TargetReport| {
            let is_slow = target.left_behind.is_some() && target.failed == 0 && target.error.is_none();
            is_slow || holds_its_own(source, target) && target.is_complete()
        };
        source.source_failures == 0 && self.targets.iter().all(|target| target.as_ref().is_ok_and(goes_well))
    }

    /// Whether objects were left for what they cost.
    pub(super) fn is_over_budget(&self) -> bool {
        self.source.as_ref().is_ok_and(|outcome| !outcome.left.is_nothing())
    }
}

/// Whether a target holds, proven, what it is to hold: all of the dataset, or its part of one that is split.
pub(super) fn holds_its_own(source: &MirrorReport, target: &TargetReport) -> bool {
    target.manifest.is_some() && (source.manifest.is_none() || target.manifest == source.manifest)
}

/// A pass, and where it is made.
pub(super) struct Pass {
    pub(super) job: Job,
    pub(super) replica: Arc<DatasetReplica>,
    pub(super) found: Arc<Found>,
    pub(super) context: Arc<Context>,
    pub(super) stream: Option<Arc<Stream>>,
    pub(super) counters: Arc<Counters>,
    pub(super) cancel: CancellationToken,
    pub(super) slots: Arc<Semaphore>,
}

impl Pass {
    /// The work of one pass over everything, to be run beside the reconcile. What copies could not keep is told as an event.
    pub(super) async fn run(self) -> PassReport {
        let Self { job, replica, context, .. } = &self;
        let told = context.lineage.run(|| lineage::run(replica, job, Timestamp::now()));
        if let Some(stream) = &self.stream {
            stream.begin_listing(Timestamp::now());
        }
        let progress = self.progress(told.clone());
        let report = Box::pin(self.mirror(progress)).await;
        if let Some(stream) = &self.stream {
            stream.end_listing(&report.up_to_date());
        }
        if let Some(told) = told {
            if lineage::is_new(&report, replica) {
                told.begin();
            }
            let end = lineage::end(&report, self.cancel.is_cancelled());
            told.end(&end, Timestamp::now(), &lineage::held(&report, job));
        }
        for note in losses(&report, &replica.spec) {
            context.events.tell(&**replica, "TagsLost", &note, true);
        }
        report
    }

    fn progress(&self, told: Option<Arc<Told>>) -> MirrorProgress {
        let (counters, metrics) = (self.counters.clone(), self.context.metrics.clone());
        Arc::new(move |event| {
            if let Some(told) = told.as_ref().filter(|_| lineage::is_work(&event)) {
                told.begin();
            }
            if let MirrorEvent::Copied { bytes, .. } = event {
                counters.objects.fetch_add(1, Ordering::Relaxed);
                counters.bytes.fetch_add(bytes, Ordering::Relaxed);
                metrics.mirrored(1, bytes);
            }
        })
    }

    async fn mirror(&self, progress: MirrorProgress) -> PassReport {
        let connected = match Box::pin(Connected::connect(self.job.clone(), &self.cancel)).await {
            Ok(connected) => connected,
            Err(report) => return *report,
        };
        let progress = match &self.stream {
            Some(stream) => {
                let first = self.replica.metadata.creation_timestamp.as_ref();
                let first = first.map_or(Timestamp::UNIX_EPOCH, |time| time.0);
                Heard { stream: stream.clone(), first }.beside(connected.places(), progress)
            }
            None => progress,
        };
        let Some(JobsWanted { always, settings }) = self.job.jobs.clone() else {
            // Never closed.
            let _slot = self.slots.acquire().await;
            return connected.mirror(&connected.options, &self.cancel, progress).await;
        };
        let mut jobs = Jobs {
            context: self.context.clone(),
            replica: self.replica.clone(),
            found: self.found.clone(),
            settings,
            always,
            fingerprint: self.job.fingerprint.clone(),
            counters: self.counters.clone(),
            cancel: self.cancel.clone(),
            slots: self.slots.clone(),
            pinned: self.job.pinned.clone(),
            books: 0,
        };
        jobs.pass(&connected, progress).boxed().await
    }

    /// The work of one pass over what a stream was told of, to be run beside the reconcile.
    pub(super) async fn look(self, stream: Arc<Stream>) -> LookReport {
        // Never closed.
        let _slot = self.slots.acquire().await;
        let (keys, in_step, removed) = stream.take();
        let (counters, metrics) = (self.counters.clone(), self.context.metrics.clone());
        let copied = move |bytes| {
            counters.objects.fetch_add(1, Ordering::Relaxed);
            counters.bytes.fetch_add(bytes, Ordering::Relaxed);
            metrics.mirrored(1, bytes);
        };
        let looked = look_at(self.job.clone(), keys, (&in_step, &removed), &self.cancel, copied);
        let (outcome, report) = Box::pin(looked).await;
        stream.end_look(&outcome);
        for note in report.iter().flat_map(|report| losses(report, &self.replica.spec)) {
            self.context.events.tell(&*self.replica, "TagsLost", &note, true);
        }
        LookReport { is_complete: outcome.is_complete() }
    }
}

/// What the copies of this pass do not have of their objects, where a store could not keep or tell it.
fn losses(report: &PassReport, spec: &DatasetReplicaSpec) -> Vec<String> {
    let targets =
        spec.targets.iter().zip(&report.targets).filter_map(|(target, outcome)| Some((target, outcome.as_ref().ok()?)));
    let lost = targets.flat_map(|(target, outcome)| {
        let name = &target.bucket_ref.name;
        outcome.tags_lost.iter().map(move |(why, objects)| format!("{name}: {objects} objects carry tags, {why}"))
    });
    let unread = report.source.as_ref().ok().and_then(|source| source.tags_unread.as_ref());
    let unread = unread.map(|TagsUnread { objects, error }| {
        format!("{}: {objects} objects were copied without their tags: {error}", spec.source.bucket_ref.name)
    });
    lost.chain(unread).collect()
}

/// Whether a target's store did. What is only not to be deleted is there.
fn has_failed(target: &TargetReport) -> bool {
    matches!(target.error, Some(TargetError::Store(_)))
}

async fn look_at(
    job: Job,
    keys: Vec<String>,
    (in_step, removed): (&[bool], &[u64]),
    cancel: &CancellationToken,
    copied: impl Fn(u64) + Send + Sync + 'static,
) -> (LookOutcome, Option<PassReport>) {
    let connect_options = connect_options(&job);
    let mut outcomes = BTreeMap::new();
    let (mut places, mut connected) = (Vec::new(), Vec::new());
    let mut reports: Vec<_> = job.targets.iter().map(|_| Err("it was not looked at".to_owned())).collect();
    for (place, target) in job.targets.into_iter().enumerate().filter(|(place, _)| in_step.get(*place) == Some(&true)) {
        match connect(target, connect_options).await {
            Ok(replica) => {
                places.push(place);
                connected.push(replica);
            }
            Err(why) => {
                tracing::warn!(error = why, "changes are left to the next pass over everything");
                outcomes.insert(place, TargetOutcome { gave_up: true, ..TargetOutcome::default() });
            }
        }
    }
    let source = match open(job.source, connect_options).await {
        Ok(source) => source,
        Err(error) => {
            tracing::warn!(%error, "changes are left to the next pass over everything");
            return (LookOutcome::Failed, None);
        }
    };
    let failed = Arc::new(Mutex::new(Failed { unread: BTreeSet::new(), targets: vec![BTreeSet::new(); places.len()] }));
    let told = failed.clone();
    let progress: MirrorProgress = Arc::new(move |event| match event {
        MirrorEvent::Copied { bytes, .. } => copied(bytes),
        MirrorEvent::Failed { target, failure } => {
            let mut failed = told.lock().unwrap_or_else(PoisonError::into_inner);
            match target.map(|target| failed.targets.get_mut(target)) {
                Some(Some(of_target)) => _ = of_target.insert(failure.key),
                Some(None) => {}
                None => _ = failed.unread.insert(failure.key),
            }
        }
        _ => {}
    });
    let removed = places.iter().map(|place| removed.get(*place).copied().unwrap_or_default()).collect();
    let changed = Changed { keys, removed };
    let report = match mirror_changed(&source, &connected, (&job.options, &changed), cancel, progress).await {
        Ok(report) => report,
        Err(error) => {
            tracing::warn!(%error, "changes are left to the next pass over everything");
            return (LookOutcome::Failed, None);
        }
    };
    let Failed { unread, targets } = std::mem::take(&mut *failed.lock().unwrap_or_else(PoisonError::into_inner));
    for ((place, report), failed) in places.into_iter().zip(&report.targets).zip(targets) {
        // Of an object that is made of another, what failed has another key than what was told.
        let is_unclear = job.options.transforming.is_some() && !(failed.is_empty() && unread.is_empty());
        let gave_up = has_failed(report) || is_unclear;
        outcomes.insert(place, TargetOutcome { failed, gave_up, removed: report.removed });
        reports[place] = Ok(report.clone());
    }
    let ended = LookOutcome::Ended { unread, targets: outcomes };
    (ended, Some(PassReport { source: Ok(report), targets: reports, left: None }))
}

/// Keys that failed in a pass over some.
#[derive(Default)]
struct Failed {
    unread: BTreeSet<String>,
    /// For each target that was reached.
    targets: Vec<BTreeSet<String>>,
}

/// A stream that hears what a pass over everything finds, of what was changed since then.
struct Heard {
    stream: Arc<Stream>,
    first: Timestamp,
}

impl Heard {
    /// Tells the stream too; the pass counts the targets that it `reached`, in the order of the spec.
    fn beside(self, reached: Vec<usize>, progress: MirrorProgress) -> MirrorProgress {
        Arc::new(move |event| {
            match &event {
                MirrorEvent::Differs { target, .. } | MirrorEvent::Copied { target, .. } => {
                    self.note(&event, &reached, *target);
                }
                // What a Job is to copy is missing as long as that is not taken over.
                MirrorEvent::HandedOver { key, bytes, modified, targets } => {
                    for target in targets {
                        let (target, key, bytes, modified) = (*target, key.clone(), *bytes, *modified);
                        self.note(&MirrorEvent::Differs { target, key, bytes, modified }, &reached, target);
                    }
                }
                _ => {}
            }
            progress(event);
        })
    }

    fn note(&self, event: &MirrorEvent, reached: &[usize], target: usize) {
        if let Some(target) = reached.get(target) {
            self.stream.note(event, *target, self.first);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skyfleet_mirror::{ManifestDigest, Sha256, TagsLost};

    use super::*;
    use crate::operator::dataset_replica::validate::tests::replica;

    #[test]
    fn a_split_dataset_is_complete_when_its_index_names_every_part() {
        let part = |content: &[u8]| {
            let manifest = Some(ManifestDigest(Sha256::of(content)));
            Ok(TargetReport { manifest, ..TargetReport::default() })
        };
        let report = |shard_index, targets| {
            let source = Ok(MirrorReport { shard_index, ..MirrorReport::default() });
            PassReport { source, targets, left: None }
        };
        let index = Some(ManifestDigest(Sha256::of(b"index")));
        assert!(report(index, vec![part(b"one"), part(b"two")]).complete());
        assert!(!report(None, vec![part(b"one"), part(b"two")]).complete());
        assert!(!report(index, vec![part(b"one"), Err("its Bucket is not Ready".to_owned())]).complete());
    }

    #[test]
    fn who_is_behind_is_set_aside_the_next_time_and_that_is_no_failure() {
        let digest = Some(ManifestDigest(Sha256::of(b"all")));
        let whole = TargetReport { manifest: digest, ..TargetReport::default() };
        let slow = |objects| TargetReport { left_behind: Some(objects), ..TargetReport::default() };
        let report = |targets: Vec<TargetReport>| {
            let source = Ok(MirrorReport { manifest: digest, ..MirrorReport::default() });
            PassReport { source, targets: targets.into_iter().map(Ok).collect(), left: None }
        };
        let behind = report(vec![whole.clone(), slow(3)]);
        assert_eq!((behind.set_aside(), behind.is_only_slow()), ([1].into(), true));
        // It lacks nothing: the next pass tells so.
        let there = report(vec![whole.clone(), slow(0)]);
        assert_eq!((there.set_aside(), there.is_only_slow()), ([].into(), true));
        let failed = report(vec![whole.clone(), TargetReport { failed: 1, ..slow(3) }]);
        assert!(!failed.is_only_slow() && !report(vec![whole, TargetReport::default()]).is_only_slow());
    }

    #[test]
    fn tags_that_do_not_arrive_are_named_with_their_bucket_and_the_reason() {
        let spec = replica(&json!({})).spec;
        let lost = TargetReport { tags_lost: [(TagsLost::Unsupported, 3)].into(), ..TargetReport::default() };
        let mut targets: Vec<_> = spec.targets.iter().map(|_| Ok(TargetReport::default())).collect();
        targets[0] = Ok(lost);
        let report = PassReport { source: Ok(MirrorReport::default()), targets, left: None };
        let name = &spec.targets[0].bucket_ref.name;
        assert_eq!(losses(&report, &spec), [format!("{name}: 3 objects carry tags, which it cannot keep")]);
    }
}
