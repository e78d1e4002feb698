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
    if fresh == before {
        return (fresh, action);
    }
    match stream.silence(now) {
        None => (fresh, action),
        Some(wait) => (before, Action::requeue(wait)),
    }
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
