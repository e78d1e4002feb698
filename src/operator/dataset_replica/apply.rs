//! Runs one pass of the mirror.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use skyfleet_api::conditions::Reason;
use skyfleet_api::{DatasetReplica, DatasetReplicaSpec};
use skyfleet_mirror::{
    ConnectOptions, Dataset, MirrorError, MirrorEvent, MirrorOptions, MirrorProgress, MirrorReport, Replica,
    RetryClass, Sharding, StoreError, TagsUnread, TargetReport, mirror,
};
use tokio_util::sync::CancellationToken;

use super::lineage;
use super::passes::Counters;
use super::validate::{Job, Place};
use crate::operator::context::Context;

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
        let report = run(job.clone(), cancel.clone(), progress).await;
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

async fn run(job: Job, cancel: CancellationToken, progress: MirrorProgress) -> PassReport {
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
    let dataset = Dataset { name: job.dataset, publish_to_source: job.publish_to_source };
    let options = MirrorOptions {
        filter: job.filter,
        source_limits: job.source_limits,
        verification: job.verification,
        deletion: job.deletion,
        sharding: job.sharding.map(|sharding| reached(sharding, &targets)),
        transforming: job.transforming,
        dataset: Some(dataset),
        ..MirrorOptions::default()
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
        let sharding = copied(&replica, &buckets(true, &["SHA256"])).sharding.expect("it is split");
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
