//! The stores of a job, connected, and a pass of the mirror over them.

use skyfleet_api::conditions::Reason;
use skyfleet_mirror::{
    ConnectOptions, MirrorError, MirrorOptions, MirrorProgress, Replica, RetryClass, Sharding, StoreError,
    TargetReport, mirror, open_version,
};
use tokio_util::sync::CancellationToken;

use super::apply::{PassError, PassReport};
use super::chain::Pinned;
use super::validate::{Job, Place};

/// What cannot be reached is left out.
pub(crate) struct Connected {
    pub(crate) source: Replica,
    /// The targets that are left in, in the order of the spec.
    pub(crate) targets: Vec<Replica>,
    /// For those.
    pub(crate) options: MirrorOptions,
    /// For each target of the spec, why it is left out.
    left_out: Vec<Option<String>>,
}

impl Connected {
    /// Connects to every store.
    ///
    /// # Errors
    /// The source's.
    pub(crate) async fn connect(job: Job, cancel: &CancellationToken) -> Result<Self, Box<PassReport>> {
        let options = connect_options(&job);
        let (mut left_out, mut targets) = (Vec::with_capacity(job.targets.len()), Vec::new());
        for target in job.targets {
            match connect(target, options).await {
                Ok(replica) => {
                    targets.push(replica);
                    left_out.push(None);
                }
                Err(why) => left_out.push(Some(why)),
            }
        }
        let source = match open_source(job.source, job.pinned, options, cancel).await {
            Ok(source) => source,
            Err((error, may_pass)) => {
                let passing = may_pass || error.retry() != RetryClass::Permanent;
                let error = PassError { reason: Reason::CopyFailed, message: error.to_string(), passing };
                return Err(Box::new(failed(error, left_out)));
            }
        };
        let mut options = job.options;
        options.sharding = options.sharding.map(|sharding| reached(sharding, &left_out));
        let places = (0..left_out.len()).filter(|place| left_out[*place].is_none()).enumerate();
        options.aside = places.filter(|(_, place)| options.aside.contains(place)).map(|(index, _)| index).collect();
        Ok(Self { source, targets, options, left_out })
    }

    /// The target at this place of the spec.
    ///
    /// # Errors
    /// Why it is left out.
    pub(crate) fn target(&self, place: usize) -> Result<&Replica, String> {
        let why = self.left_out.get(place).cloned().unwrap_or_else(|| Some("there is no such target".to_owned()));
        let index = self.places().into_iter().position(|of| of == place);
        index.and_then(|index| self.targets.get(index)).ok_or_else(|| why.unwrap_or_default())
    }

    /// The places of the targets that are left in.
    pub(super) fn places(&self) -> Vec<usize> {
        (0..self.left_out.len()).filter(|place| self.left_out[*place].is_none()).collect()
    }

    /// One pass over everything.
    pub(super) async fn mirror(
        &self,
        options: &MirrorOptions,
        cancel: &CancellationToken,
        progress: MirrorProgress,
    ) -> PassReport {
        match Box::pin(mirror(&self.source, &self.targets, options, cancel, progress)).await {
            Ok(report) => {
                let mut done = report.targets.clone().into_iter();
                let outcome = |left_out: &Option<String>| match left_out {
                    Some(why) => Some(Err(why.clone())),
                    None => done.next().map(Ok),
                };
                let targets = self.left_out.iter().filter_map(outcome).collect();
                PassReport { source: Ok(report), targets, left: None }
            }
            Err(error) => {
                let is_rejected = matches!(error, MirrorError::TooManyRejected { .. });
                let passing = !is_rejected
                    && !matches!(error, MirrorError::Overlap(..) | MirrorError::Sharding(_) | MirrorError::Portion(_));
                let reason = if is_rejected { Reason::RecordsRejected } else { Reason::CopyFailed };
                self.fail(PassError { reason, message: error.to_string(), passing })
            }
        }
    }

    /// The report of a pass that could not be made.
    pub(super) fn fail(&self, error: PassError) -> PassReport {
        failed(error, self.left_out.clone())
    }
}

/// The source, or the version of it that is read; the error is with whether it may pass though it is none that the store passes.
async fn open_source(
    place: Place,
    pinned: Option<Pinned>,
    options: ConnectOptions,
    cancel: &CancellationToken,
) -> Result<Replica, (StoreError, bool)> {
    let source = open(place, options).await.map_err(|error| (error, false))?;
    let Some(Pinned { dataset, digest, prefix, within }) = pinned else { return Ok(source) };
    let written = Replica { prefix, ..source };
    // What is not there may be written anew by its DatasetReplica.
    open_version(&written, (&dataset, digest), &within, cancel).await.map_err(|error| (error, true))
}

/// How the stores of a job are spoken to.
pub(super) fn connect_options(job: &Job) -> ConnectOptions {
    ConnectOptions { requests_per_second: job.requests_per_second, ..ConnectOptions::default() }
}

/// The shards of the targets that are left in, by the order of those; the others keep what they have.
fn reached(mut sharding: Sharding, left_out: &[Option<String>]) -> Sharding {
    let mut next = 0..;
    for (shard, left_out) in sharding.shards.iter_mut().zip(left_out) {
        shard.target = if left_out.is_none() { next.next() } else { None };
    }
    sharding
}

fn failed(error: PassError, left_out: Vec<Option<String>>) -> PassReport {
    let targets: Vec<Result<TargetReport, String>> =
        left_out.into_iter().map(|why| Err(why.unwrap_or_else(|| "the source failed".to_owned()))).collect();
    PassReport { source: Err(error), targets, left: None }
}

pub(super) async fn connect(target: Result<Place, String>, options: ConnectOptions) -> Result<Replica, String> {
    open(target?, options).await.map_err(|error| error.to_string())
}

pub(super) async fn open(place: Place, options: ConnectOptions) -> Result<Replica, StoreError> {
    let store = place.access.store.connect(options).await?;
    Ok(Replica { store, prefix: place.prefix })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skyfleet_mirror::ShardBy;

    use super::reached;
    use crate::operator::dataset_replica::validate::tests::{buckets, copied, replica};

    #[test]
    fn a_target_that_is_left_out_keeps_its_part() {
        let replica = replica(&json!({"mode": "Shard", "sharding": {"by": "Size", "pieceSize": "64Mi"}}));
        let sharding = copied(&replica, &buckets(true, &["SHA256"])).options.sharding.expect("it is split");
        let names: Vec<_> = sharding.shards.iter().map(|shard| shard.name.as_str()).collect();
        assert_eq!((sharding.by, names), (ShardBy::Size, vec!["b/w/", "c/w/"]));
        assert_eq!(sharding.piece_size.map(u64::from), Some(64 << 20));
        let targets = |left_out: &[Option<String>]| {
            let reached = reached(sharding.clone(), left_out);
            reached.shards.iter().map(|shard| shard.target).collect::<Vec<_>>()
        };
        assert_eq!(targets(&[None, None]), [Some(0), Some(1)]);
        assert_eq!(targets(&[Some("away".to_owned()), None]), [None, Some(0)]);
    }
}
