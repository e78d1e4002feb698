//! What is particular to mode Stream: follows what is told of the source, and says how far the targets are behind.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use skyfleet_api::dataset_replica::StreamStatus;
use skyfleet_api::{DatasetReplica, DatasetReplicaStatus};
use skyfleet_mirror::Sha256;

use super::validate::Job;
use crate::operator::context::Context;
use crate::operator::streams::{BucketName, Selection, Stream};

/// What is told of the source from now on; `None` in other modes.
pub(super) fn follow(
    context: &Context,
    (uid, reference): (&str, ObjectRef<DeserializeGuard<DatasetReplica>>),
    replica: &DatasetReplica,
    job: &Job,
    now: Timestamp,
) -> Option<Arc<Stream>> {
    let Some(teller) = job.teller.clone() else {
        context.streams.leave(uid);
        return None;
    };
    let spec = &replica.spec;
    let seen = serde_json::to_string(&(&spec.source, &spec.targets)).unwrap_or_default();
    let selection = Selection {
        prefix: spec.source.prefix.clone(),
        filter: job.options.filter.clone(),
        targets: spec.targets.len(),
        version: Sha256::of(seen.as_bytes()).to_string(),
    };
    let stream = context.streams.follow((uid, reference), (bucket(replica), teller), selection, now);
    stream.is_awake();
    Some(stream)
}

/// The status with how far the targets are behind, unless that was said a moment ago; then it is looked at again.
pub(super) fn say(
    context: &Context,
    (status, action): (DatasetReplicaStatus, Action),
    replica: &DatasetReplica,
    stream: &Stream,
    now: Timestamp,
) -> (DatasetReplicaStatus, Action) {
    let said = replica.status.clone().unwrap_or_default();
    let fresh = with_lag(status.clone(), context.streams.error(&bucket(replica)), stream, now);
    let before = with_lag_of(status, &said);
    if !is_news(&before, &fresh) {
        return (before, action);
    }
    match stream.silence(now) {
        None => (fresh, action),
        Some(wait) => (before, Action::requeue(wait)),
    }
}

/// Lag that grows is told again when it has grown by a tenth: a target that is gone for a day is no reason to write all day.
fn is_news(said: &DatasetReplicaStatus, fresh: &DatasetReplicaStatus) -> bool {
    let grew = |said: Option<i64>, fresh: Option<i64>| match (said, fresh) {
        (Some(said), Some(fresh)) => (fresh - said).abs() * 10 > said.abs(),
        (said, fresh) => said != fresh,
    };
    let (Some(before), Some(now)) = (&said.stream, &fresh.stream) else { return said != fresh };
    let of_targets =
        said.targets.iter().zip(&fresh.targets).any(|(said, fresh)| grew(said.lag_seconds, fresh.lag_seconds));
    of_targets
        || grew(before.lag_seconds, now.lag_seconds)
        || (before.pending, &before.error) != (now.pending, &now.error)
}

fn bucket(replica: &DatasetReplica) -> BucketName {
    (replica.namespace().unwrap_or_default(), replica.spec.source.bucket_ref.name.clone())
}

fn with_lag(
    mut status: DatasetReplicaStatus,
    error: Option<String>,
    stream: &Stream,
    now: Timestamp,
) -> DatasetReplicaStatus {
    let seconds = |lag: Option<SignedDuration>| lag.map(|lag| lag.as_secs());
    status.stream = Some(StreamStatus {
        pending: i64::try_from(stream.pending()).unwrap_or(i64::MAX),
        lag_seconds: seconds(stream.longest_lag(now)),
        error,
    });
    for (index, target) in status.targets.iter_mut().enumerate() {
        target.lag_seconds = seconds(stream.lag(index, now));
    }
    status
}

/// With the lag that was said before.
fn with_lag_of(mut status: DatasetReplicaStatus, said: &DatasetReplicaStatus) -> DatasetReplicaStatus {
    status.stream.clone_from(&said.stream);
    for (target, said) in status.targets.iter_mut().zip(&said.targets) {
        target.lag_seconds = said.lag_seconds;
    }
    status
}

#[cfg(test)]
mod tests {
    use skyfleet_api::dataset_replica::ReplicaStatus;

    use super::*;

    fn status(pending: i64, lag: Option<i64>, of_target: Option<i64>) -> DatasetReplicaStatus {
        let target = ReplicaStatus { lag_seconds: of_target, ..ReplicaStatus::default() };
        let stream = StreamStatus { pending, lag_seconds: lag, error: None };
        DatasetReplicaStatus { stream: Some(stream), targets: vec![target], ..DatasetReplicaStatus::default() }
    }

    #[test]
    fn what_hardly_changed_is_not_written_again() {
        let said = status(1, Some(1000), Some(1000));
        for (fresh, is_it) in [
            (said.clone(), false),
            (status(1, Some(1100), Some(1100)), false),
            (status(1, Some(1101), Some(1000)), true),
            (status(1, Some(1000), Some(1101)), true),
            (status(2, Some(1000), Some(1000)), true),
            (status(1, None, Some(1000)), true),
            (status(1, Some(1000), None), true),
        ] {
            assert_eq!(is_news(&said, &fresh), is_it, "{fresh:?}");
        }
        let quiet = status(0, None, None);
        assert!(is_news(&DatasetReplicaStatus::default(), &quiet) && !is_news(&quiet, &quiet));
    }
}
