//! Runs one pass of the mirror.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use skyfleet_api::conditions::Reason;
use skyfleet_api::{DatasetReplica, DatasetReplicaSpec};
use skyfleet_mirror::{
    Changed, ConnectOptions, MirrorError, MirrorEvent, MirrorProgress, MirrorReport, Replica, RetryClass, Sharding,
    StoreError, TagsUnread, TargetError, TargetReport, mirror, mirror_changed,
};
use skyfleet_stream::{LookOutcome, TargetOutcome};
use tokio_util::sync::CancellationToken;

use super::lineage;
use super::passes::Counters;
use super::validate::{Job, Place};
use crate::operator::context::Context;
use crate::operator::streams::Stream;

/// How a pass ended.
#[derive(Debug)]
pub(super) struct PassReport {
    /// What the source holds, or why nothing could be done.
    pub(super) source: Result<MirrorReport, PassError>,
    /// One for each target of the job, in its order: how it is, or why it was left out.
    pub(super) targets: Vec<Result<TargetReport, String>>,
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
pub(super) struct PassError {
    pub(super) reason: Reason,
    pub(super) message: String,
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

    /// Whether objects were left for what they cost.
    pub(super) fn is_over_budget(&self) -> bool {
        self.source.as_ref().is_ok_and(|outcome| !outcome.left.is_nothing())
    }
}

/// Whether a target holds, proven, what it is to hold: all of the dataset, or its part of one that is split.
pub(super) fn holds_its_own(source: &MirrorReport, target: &TargetReport) -> bool {
    target.manifest.is_some() && (source.manifest.is_none() || target.manifest == source.manifest)
}

/// The work of one pass, to be run beside the reconcile. What copies could not keep is told as an event.
pub(super) fn pass(
    job: Job,
    replica: Arc<DatasetReplica>,
    context: &Context,
    stream: Option<Arc<Stream>>,
    (counters, cancel): (Arc<Counters>, CancellationToken),
) -> impl Future<Output = PassReport> + Send + use<> {
    let (metrics, events, lineage) = (context.metrics.clone(), context.events.clone(), context.lineage.clone());
    async move {
        let told = lineage.run(|| lineage::run(&replica, &job, Timestamp::now()));
        let telling = told.clone();
        let progress: MirrorProgress = Arc::new(move |event| {
            if let Some(told) = telling.as_ref().filter(|_| lineage::is_work(&event)) {
                told.begin();
            }
            if let MirrorEvent::Copied { bytes, .. } = event {
                counters.objects.fetch_add(1, Ordering::Relaxed);
                counters.bytes.fetch_add(bytes, Ordering::Relaxed);
                metrics.mirrored(1, bytes);
            }
        });
        let first = replica.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let heard = stream.clone().map(|stream| Heard { stream, first });
        if let Some(Heard { stream, .. }) = &heard {
            stream.begin_listing(Timestamp::now());
        }
        let report = Box::pin(run(job.clone(), heard, cancel.clone(), progress)).await;
        if let Some(stream) = stream {
            stream.end_listing(&report.up_to_date());
        }
        if let Some(told) = told {
            if lineage::is_new(&report, &replica) {
                told.begin();
            }
            let end = lineage::end(&report, cancel.is_cancelled());
            told.end(&end, Timestamp::now(), &lineage::held(&report, &job));
        }
        for note in losses(&report, &replica.spec) {
            events.tell(&*replica, "TagsLost", &note, true);
        }
        report
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

/// The work of one pass over what a stream was told of, to be run beside the reconcile.
pub(super) fn look(
    job: Job,
    replica: Arc<DatasetReplica>,
    context: &Context,
    stream: Arc<Stream>,
    (counters, cancel): (Arc<Counters>, CancellationToken),
) -> impl Future<Output = LookReport> + Send + use<> {
    let (metrics, events) = (context.metrics.clone(), context.events.clone());
    async move {
        let (keys, in_step, removed) = stream.take();
        let copied = move |bytes| {
            counters.objects.fetch_add(1, Ordering::Relaxed);
            counters.bytes.fetch_add(bytes, Ordering::Relaxed);
            metrics.mirrored(1, bytes);
        };
        let (outcome, report) = Box::pin(look_at(job, keys, (&in_step, &removed), &cancel, copied)).await;
        stream.end_look(&outcome);
        for note in report.iter().flat_map(|report| losses(report, &replica.spec)) {
            events.tell(&*replica, "TagsLost", &note, true);
        }
        LookReport { is_complete: outcome.is_complete() }
    }
}

async fn look_at(
    job: Job,
    keys: Vec<String>,
    (in_step, removed): (&[bool], &[u64]),
    cancel: &CancellationToken,
    copied: impl Fn(u64) + Send + Sync + 'static,
) -> (LookOutcome, Option<PassReport>) {
    let connect_options = ConnectOptions { requests_per_second: job.requests_per_second, ..ConnectOptions::default() };
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
    (ended, Some(PassReport { source: Ok(report), targets: reports }))
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
            if let MirrorEvent::Differs { target, .. } | MirrorEvent::Copied { target, .. } = &event
                && let Some(target) = reached.get(*target)
            {
                self.stream.note(&event, *target, self.first);
            }
            progress(event);
        })
    }
}

async fn run(job: Job, heard: Option<Heard>, cancel: CancellationToken, progress: MirrorProgress) -> PassReport {
    let connect_options = ConnectOptions { requests_per_second: job.requests_per_second, ..ConnectOptions::default() };
    let mut targets = Vec::with_capacity(job.targets.len());
    let mut connected = Vec::new();
    for target in job.targets {
        match connect(target, connect_options).await {
            Ok(replica) => {
                connected.push(replica);
                targets.push(None);
            }
            Err(why) => targets.push(Some(Err(why))),
        }
    }
    let source = match open(job.source, connect_options).await {
        Ok(source) => source,
        Err(error) => {
            let passing = error.retry() != RetryClass::Permanent;
            return failed(PassError { reason: Reason::CopyFailed, message: error.to_string(), passing }, targets);
        }
    };
    let mut options = job.options;
    options.sharding = options.sharding.map(|sharding| reached(sharding, &targets));
    let progress = match heard {
        Some(heard) => heard.beside(places(&targets), progress),
        None => progress,
    };
    match mirror(&source, &connected, &options, &cancel, progress).await {
        Ok(report) => {
            let mut done = report.targets.clone().into_iter();
            let targets = targets.into_iter().filter_map(|left_out| left_out.or_else(|| done.next().map(Ok))).collect();
            PassReport { source: Ok(report), targets }
        }
        Err(error) => {
            let is_rejected = matches!(error, MirrorError::TooManyRejected { .. });
            let passing = !is_rejected && !matches!(error, MirrorError::Overlap(..) | MirrorError::Sharding(_));
            let reason = if is_rejected { Reason::RecordsRejected } else { Reason::CopyFailed };
            failed(PassError { reason, message: error.to_string(), passing }, targets)
        }
    }
}

/// The places of the targets that are left in.
fn places<T>(left_out: &[Option<T>]) -> Vec<usize> {
    (0..left_out.len()).filter(|place| left_out[*place].is_none()).collect()
}

/// The shards of the targets that are left in, by the order of those; the others keep what they have.
fn reached<T>(mut sharding: Sharding, left_out: &[Option<T>]) -> Sharding {
    let mut next = 0..;
    for (shard, left_out) in sharding.shards.iter_mut().zip(left_out) {
        shard.target = if left_out.is_none() { next.next() } else { None };
    }
    sharding
}

fn failed(error: PassError, targets: Vec<Option<Result<TargetReport, String>>>) -> PassReport {
    let targets =
        targets.into_iter().map(|left_out| left_out.unwrap_or_else(|| Err("the source failed".to_owned()))).collect();
    PassReport { source: Err(error), targets }
}

async fn connect(target: Result<Place, String>, options: ConnectOptions) -> Result<Replica, String> {
    open(target?, options).await.map_err(|error| error.to_string())
}

async fn open(place: Place, options: ConnectOptions) -> Result<Replica, StoreError> {
    let store = place.access.store.connect(options).await?;
    Ok(Replica { store, prefix: place.prefix })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skyfleet_mirror::{ManifestDigest, Sha256, ShardBy, TagsLost};

    use super::*;
    use crate::operator::dataset_replica::validate::tests::{buckets, copied, replica};

    #[test]
    fn a_target_that_is_left_out_keeps_its_part() {
        let replica = replica(&json!({"mode": "Shard", "sharding": {"by": "Size", "pieceSize": "64Mi"}}));
        let sharding = copied(&replica, &buckets(true, &["SHA256"])).options.sharding.expect("it is split");
        let names: Vec<_> = sharding.shards.iter().map(|shard| shard.name.as_str()).collect();
        assert_eq!((sharding.by, names), (ShardBy::Size, vec!["b/w/", "c/w/"]));
        assert_eq!(sharding.piece_size.map(u64::from), Some(64 << 20));
        let targets = |left_out: &[Option<()>]| {
            let reached = reached(sharding.clone(), left_out);
            reached.shards.iter().map(|shard| shard.target).collect::<Vec<_>>()
        };
        assert_eq!(targets(&[None, None]), [Some(0), Some(1)]);
        assert_eq!(targets(&[Some(()), None]), [None, Some(0)]);
    }

    #[test]
    fn a_split_dataset_is_complete_when_its_index_names_every_part() {
        let part = |content: &[u8]| {
            let manifest = Some(ManifestDigest(Sha256::of(content)));
            Ok(TargetReport { manifest, ..TargetReport::default() })
        };
        let report = |shard_index, targets| {
            let source = Ok(MirrorReport { shard_index, ..MirrorReport::default() });
            PassReport { source, targets }
        };
        let index = Some(ManifestDigest(Sha256::of(b"index")));
        assert!(report(index, vec![part(b"one"), part(b"two")]).complete());
        assert!(!report(None, vec![part(b"one"), part(b"two")]).complete());
        assert!(!report(index, vec![part(b"one"), Err("its Bucket is not Ready".to_owned())]).complete());
    }

    #[test]
    fn tags_that_do_not_arrive_are_named_with_their_bucket_and_the_reason() {
        let spec = replica(&json!({})).spec;
        let lost = TargetReport { tags_lost: [(TagsLost::Unsupported, 3)].into(), ..TargetReport::default() };
        let mut targets: Vec<_> = spec.targets.iter().map(|_| Ok(TargetReport::default())).collect();
        targets[0] = Ok(lost);
        let report = PassReport { source: Ok(MirrorReport::default()), targets };
        let name = &spec.targets[0].bucket_ref.name;
        assert_eq!(losses(&report, &spec), [format!("{name}: 3 objects carry tags, which it cannot keep")]);
    }
}
