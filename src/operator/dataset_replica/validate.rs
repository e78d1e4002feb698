//! Checks a DatasetReplica and makes of it the job of one pass.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use skyfleet_api::bucket::StoreProvider;
use skyfleet_api::conditions::{ConditionType, Finding, Reason, is_true};
use skyfleet_api::dataset_replica::{
    DeletionPolicy, Execution, MaskKeyReference, Mode, ShardBy as WantedShardBy, Target,
    Verification as WantedVerification,
};
use skyfleet_api::{Bucket, BucketSpec, DatasetReplica, DatasetReplicaSpec};
use skyfleet_mirror::{
    Dataset, DatasetName, Deletion, EgressBudget, Filter, MirrorOptions, MostDeleted, Retention, Sha256, Shard,
    ShardBy, Sharding, SourceLimits, Transforming, Verification,
};
use skyfleet_plan::schedule::Schedule;
use skyfleet_stream::Origin;

use super::chain::Pinned;
use super::dereference::{BucketWithAsker, Buckets, Found, MaskKeys};
use super::jobs::JobsWanted;
use crate::operator::bucket::{Access, access};
use crate::operator::streams::Teller;
use crate::quantity;

/// What is to be done.
pub(crate) enum Verdict {
    /// Nothing, for these reasons.
    Refused(Vec<Finding>),
    /// Copy.
    Copy(Box<Job>),
}

/// One pass: from where to where.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(super) source: Place,
    /// The version that is read of it, where it is one; to be set by who knows.
    pub(super) pinned: Option<Pinned>,
    /// One for each target of the spec, in its order.
    pub(super) targets: Vec<TargetPlace>,
    /// Of a dataset that is split, as if every target could be reached, and without the versions that are pinned. Targets that are set
    /// aside are told by their place in the spec, by who knows.
    pub(super) options: MirrorOptions,
    /// Who tells of changes, in mode Stream.
    pub(super) teller: Option<Teller>,
    pub(super) requests_per_second: Option<NonZeroU32>,
    pub(super) schedule: Schedule,
    /// Where Jobs may copy; `None` where the operator does.
    pub(super) jobs: Option<JobsWanted>,
    /// Tells this job from one with another spec, bucket or key.
    pub(super) fingerprint: String,
}

impl Job {
    /// What one of so many workers does, who share what may be used.
    pub(super) fn shared(mut self, workers: u32) -> Self {
        let workers = NonZeroU32::new(workers).unwrap_or(NonZeroU32::MIN);
        let limits = &mut self.options.source_limits;
        limits.bandwidth = limits
            .bandwidth
            .map(|all| NonZeroU64::new(all.get() / u64::from(workers.get())).unwrap_or(NonZeroU64::MIN));
        self.requests_per_second = self
            .requests_per_second
            .map(|all| NonZeroU32::new(all.get().div_ceil(workers.get())).unwrap_or(NonZeroU32::MIN));
        self
    }
}

/// Where a copy is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(super) access: Access,
    pub(super) prefix: String,
}

/// A target: where it is, or why it can't be used now. It then waits alone; the others go on.
pub(crate) type TargetPlace = Result<Place, String>;

/// Checks a DatasetReplica.
pub(super) fn validate(replica: &DatasetReplica, found: &Found, now: Timestamp) -> Verdict {
    job(replica, found, now).map_or_else(Verdict::Refused, |job| Verdict::Copy(Box::new(job)))
}

fn job(replica: &DatasetReplica, found: &Found, now: Timestamp) -> Result<Job, Vec<Finding>> {
    let (spec, Found { buckets, mask_keys, token }) = (&replica.spec, found);
    if spec.suspend {
        let message = "spec.suspend is true: nothing is copied until it is false";
        return Err(vec![Finding::new(ConditionType::Ready, false, Reason::Suspended, message)]);
    }
    let invalid = |message: String| Finding::stalled(Reason::InvalidSpec, message);
    let schedule = Schedule::of(&spec.schedule, now).map_err(|error| invalid(error.to_string()))?;
    let filters = &spec.source.filters;
    let filter = Filter::new(&filters.include, &filters.exclude)
        .map_err(|error| invalid(format!("spec.source.filters: {error}")))?;
    let namespace = replica.metadata.namespace.as_deref().unwrap_or_default();
    let dataset = DatasetName::new(namespace, replica.metadata.name.as_deref().unwrap_or_default())
        .map_err(|error| invalid(error.to_string()))?;
    let source_bucket = &spec.source.bucket_ref.name;
    let source = place(buckets, source_bucket, &spec.source.prefix, false)
        .map_err(|(reason, message)| Finding::reconciling(reason, message))?;
    let source_limits = source_limits(spec, buckets).map_err(invalid)?;
    let transforming = transforming(spec, mask_keys)?;
    let sharding = sharding(spec).map_err(invalid)?;
    let requests_per_second = spec.limits.as_ref().and_then(|limits| limits.requests_per_second);
    let targets = spec
        .targets
        .iter()
        .map(|target| place(buckets, &target.bucket_ref.name, &target.prefix, true).map_err(|(_, message)| message))
        .collect::<Vec<TargetPlace>>();
    // What lies there by now is not what is read.
    let is_pinned = spec.source.digest.is_some();
    let publish_to_source = !is_pinned && capabilities(buckets, source_bucket).is_some_and(|found| found.writable);
    let options = MirrorOptions {
        filter,
        source_limits,
        verification: verification(spec, buckets),
        deletion: deletion(spec),
        versions: versions(spec),
        sharding,
        transforming,
        dataset: Some(Dataset { name: dataset, publish_to_source }),
        patience: patience(spec),
        ..MirrorOptions::default()
    };
    Ok(Job {
        teller: if spec.mode == Mode::Stream {
            Some(teller(source_bucket, buckets, token.as_ref(), &source)?)
        } else {
            None
        },
        source,
        pinned: None,
        targets,
        options,
        requests_per_second: requests_per_second.and_then(|rate| NonZeroU32::new(u32::try_from(rate).ok()?)),
        schedule,
        jobs: jobs(spec),
        fingerprint: fingerprint(spec, buckets, mask_keys),
    })
}

/// Whether Jobs may copy. What one place has to count, they cannot share.
fn jobs(spec: &DatasetReplicaSpec) -> Option<JobsWanted> {
    let has_budget = spec.limits.as_ref().is_some_and(|limits| limits.egress_cost.is_some());
    let by = spec.sharding.as_ref().map(|sharding| sharding.by).unwrap_or_default();
    let can_be_shared = !has_budget && by == WantedShardBy::Hash;
    let always = match spec.execution {
        Execution::InProcess => return None,
        Execution::Auto => false,
        Execution::Job => true,
    };
    can_be_shared.then(|| JobsWanted { always, settings: spec.job.clone().unwrap_or_default() })
}

/// How long targets wait for one that is slow, before it goes on by itself: then the source is read once more for it.
fn patience(spec: &DatasetReplicaSpec) -> Option<Duration> {
    let reads_once = spec.limits.as_ref().is_some_and(|limits| limits.egress_cost.is_some());
    (!reads_once && spec.targets.len() > 1).then_some(PATIENCE)
}

/// What may leave the source; the error says what is wrong with it.
fn source_limits(spec: &DatasetReplicaSpec, buckets: &Buckets) -> Result<SourceLimits, String> {
    let Some(limits) = &spec.limits else { return Ok(SourceLimits::default()) };
    let bandwidth = limits.bandwidth.as_ref().map(|quantity| {
        let rate = quantity::whole(&quantity.0).and_then(NonZeroU64::new);
        rate.ok_or_else(|| format!("spec.limits.bandwidth: {:?} is beyond what can be counted", quantity.0))
    });
    let egress = limits.egress_cost.as_ref().map(|most| {
        let name = &spec.source.bucket_ref.name;
        let price = buckets.get(name).and_then(|with| with.bucket.spec.egress_price_per_gb.as_ref());
        let price = price.ok_or_else(|| {
            format!("spec.limits.egressCost needs a price: set spec.egressPricePerGB of the source's Bucket {name:?}")
        })?;
        let price = price.parse().map_err(|error| format!("spec.egressPricePerGB of the Bucket {name:?}: {error}"))?;
        let most = most.parse().map_err(|error| format!("spec.limits.egressCost: {error}"))?;
        Ok::<_, String>(EgressBudget { price, most })
    });
    Ok(SourceLimits { bandwidth: bandwidth.transpose()?, egress: egress.transpose()? })
}

fn place(buckets: &Buckets, name: &str, prefix: &str, writes: bool) -> Result<Place, (Reason, String)> {
    let Some(BucketWithAsker { bucket, asker }) = buckets.get(name) else {
        return Err((Reason::ReferenceNotFound, format!("there is no Bucket {name:?} in this namespace")));
    };
    let access = access(&bucket.spec, asker)
        .map_err(|refusal| (refusal.reason, format!("Bucket {name:?}: {}", refusal.message)))?;
    let status = bucket.status.as_ref();
    let current = status.is_some_and(|status| status.observed_generation == bucket.metadata.generation);
    if !current || !status.is_some_and(|status| is_true(&status.conditions, ConditionType::Ready)) {
        return Err((
            Reason::StoreUnreachable,
            format!("the Bucket {name:?} is not Ready: its own conditions say why"),
        ));
    }
    if writes && !capabilities(buckets, name).is_some_and(|found| found.writable) {
        return Err((Reason::PermissionDenied, format!("the credentials of the Bucket {name:?} may not write")));
    }
    Ok(Place { access, prefix: prefix.to_owned() })
}

fn capabilities<'a>(buckets: &'a Buckets, name: &str) -> Option<&'a skyfleet_api::bucket::Capabilities> {
    buckets.get(name)?.bucket.status.as_ref()?.capabilities.as_ref()
}

fn deletion(spec: &DatasetReplicaSpec) -> Deletion {
    match spec.deletion_policy {
        DeletionPolicy::Retain => Deletion::Never,
        DeletionPolicy::Delete => Deletion::Surplus(MostDeleted::percent(spec.max_deletion_percent)),
    }
}

fn versions(spec: &DatasetReplicaSpec) -> Option<Retention> {
    let wanted = spec.versions.as_ref()?;
    let age = |seconds| SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    Some(Retention {
        newest: wanted.keep.map_or(Retention::MOST, usize::from),
        replaced_within: wanted.max_age_seconds().map(age),
        ..Retention::only_the_newest()
    })
}

/// What becomes of objects on their way.
fn transforming(spec: &DatasetReplicaSpec, mask_keys: &MaskKeys) -> Result<Option<Transforming>, Vec<Finding>> {
    let Some(wanted) = &spec.transform else { return Ok(None) };
    let references = wanted.steps.iter().filter_map(|step| step.mask.as_ref()?.key_secret_ref.as_ref());
    for MaskKeyReference { name, .. } in references {
        if !mask_keys.contains_key(name) {
            let message = format!("spec.transform: there is no Secret {name:?} in this namespace");
            return Err(Finding::reconciling(Reason::ReferenceNotFound, message));
        }
    }
    let key = |MaskKeyReference { name, key }: &MaskKeyReference| {
        let data = mask_keys.get(name).and_then(|secret| secret.data.as_ref()?.get(key));
        data.map(|data| data.0.clone()).ok_or_else(|| format!("the Secret {name:?} has no key {key:?}"))
    };
    let transforming = crate::transform::transforming(wanted, key);
    transforming.map(Some).map_err(|error| Finding::stalled(Reason::InvalidSpec, format!("spec.transform: {error}")))
}

/// Less than that is no reason to read anything twice.
const PATIENCE: Duration = Duration::from_secs(10);

/// The key of a Secret with what senders show.
const TOKEN: &str = "token";

/// Who tells of the source's changes.
fn teller(name: &str, buckets: &Buckets, token: Option<&Secret>, source: &Place) -> Result<Teller, Vec<Finding>> {
    let stalled = |message: String| Finding::stalled(Reason::InvalidSpec, message);
    let Some(with) = buckets.get(name) else { return Err(stalled(format!("there is no Bucket {name:?}"))) };
    let spec = &with.bucket.spec;
    let Some(notifications) = &spec.notifications else {
        return Err(stalled(format!(
            "spec.mode Stream needs to be told of changes: give the source's Bucket {name:?} spec.notifications, or take mode \
             Mirror with a short schedule.interval"
        )));
    };
    let shown = notifications.webhook.as_ref().map(|webhook| {
        let secret = &webhook.token_secret_ref.name;
        let token = token.and_then(|secret| secret.data.as_ref()?.get(TOKEN)).filter(|token| !token.0.is_empty());
        token.map(|token| token.0.clone()).ok_or_else(|| {
            let message = format!("the webhook of the Bucket {name:?} needs a Secret {secret:?} with {TOKEN}");
            Finding::reconciling(Reason::ReferenceNotFound, message)
        })
    });
    let queue = notifications.queue.as_ref().map(|queue| (queue.url.clone(), source.access.store.clone()));
    let origin = match spec.provider {
        StoreProvider::S3 => Origin::S3(spec.name.clone()),
        StoreProvider::AzureBlob => Origin::Azure { account: spec.account.clone(), container: spec.name.clone() },
        StoreProvider::Gcs => Origin::Google(spec.name.clone()),
    };
    let seen = (spec, version(with), token.map(|secret| &secret.metadata.resource_version));
    let version = Sha256::of(serde_json::to_string(&seen).unwrap_or_default().as_bytes()).to_string();
    Ok(Teller { origin, prefix: spec.prefix.clone(), token: shown.transpose()?, queue, version })
}

/// All shards, as if every target could be reached; the error says what is wrong with it.
fn sharding(spec: &DatasetReplicaSpec) -> Result<Option<Sharding>, String> {
    if spec.mode != Mode::Shard {
        return Ok(None);
    }
    let shard = |(index, target): (usize, &Target)| Shard {
        name: format!("{}/{}", target.bucket_ref.name, target.prefix),
        weight: target
            .weight
            .and_then(|weight| NonZeroU32::new(u32::try_from(weight).ok()?))
            .unwrap_or(NonZeroU32::MIN),
        target: Some(index),
    };
    let by = match spec.sharding.as_ref().map(|sharding| sharding.by).unwrap_or_default() {
        WantedShardBy::Hash => ShardBy::Hash,
        WantedShardBy::Count => ShardBy::Count,
        WantedShardBy::Size => ShardBy::Size,
    };
    let shards = spec.targets.iter().enumerate().map(shard).collect();
    Ok(Some(Sharding { by, shards, piece_size: piece_size(spec)? }))
}

fn piece_size(spec: &DatasetReplicaSpec) -> Result<Option<NonZeroU64>, String> {
    let piece_size = spec.sharding.as_ref().and_then(|sharding| sharding.piece_size.as_ref()).map(|quantity| {
        let size = quantity::whole(&quantity.0).and_then(NonZeroU64::new);
        size.ok_or_else(|| format!("spec.sharding.pieceSize: {:?} is beyond what can be counted", quantity.0))
    });
    piece_size.transpose()
}

/// By the stores' checksums where every target checks one, else by reading back. Azure checks each request and names none.
fn verification(spec: &DatasetReplicaSpec, buckets: &Buckets) -> Verification {
    let checks = |bucket: &str| {
        let is_azure = buckets.get(bucket).is_some_and(|with| with.bucket.spec.provider == StoreProvider::AzureBlob);
        is_azure || capabilities(buckets, bucket).is_some_and(|found| !found.checksums.is_empty())
    };
    let all_check = spec.targets.iter().all(|target| checks(&target.bucket_ref.name));
    if spec.verification == WantedVerification::Checksum && all_check {
        Verification::Checksum
    } else {
        Verification::ReadBack
    }
}

fn fingerprint(spec: &DatasetReplicaSpec, buckets: &Buckets, mask_keys: &MaskKeys) -> String {
    // By whom one is told of changes is nothing to a pass.
    let untold = |with: &BucketWithAsker| BucketSpec { notifications: None, ..with.bucket.spec.clone() };
    let seen: Vec<_> = buckets.values().map(|with| (untold(with), version(with))).collect();
    let keys: Vec<_> = mask_keys.values().map(|secret| &secret.metadata.resource_version).collect();
    let text = serde_json::to_string(&(spec, seen, keys)).unwrap_or_default();
    Sha256::of(text.as_bytes()).to_string()
}

fn version(with: &BucketWithAsker) -> (Option<&str>, bool) {
    (with.asker.version(), ready(&with.bucket))
}

fn ready(bucket: &Bucket) -> bool {
    bucket.status.as_ref().is_some_and(|status| is_true(&status.conditions, ConditionType::Ready))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::operator::bucket::Asker;

    pub(in super::super) fn replica(extra: &Value) -> DatasetReplica {
        let mut spec = json!({
            "source": {"bucketRef": {"name": "a"}, "prefix": "w/"},
            "targets": [{"bucketRef": {"name": "b"}, "prefix": "w/"}, {"bucketRef": {"name": "c"}, "prefix": "w/"}],
        });
        spec.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        serde_json::from_value(json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "DatasetReplica",
            "metadata": {"name": "weights", "namespace": "ml", "generation": 1}, "spec": spec,
        }))
        .expect("a DatasetReplica")
    }

    pub(in super::super) fn buckets(writable: bool, checksums: &[&str]) -> Buckets {
        ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                let bucket = serde_json::from_value(json!({
                    "apiVersion": "skyfleet.dev/v1alpha1", "kind": "Bucket",
                    "metadata": {"name": name, "namespace": "ml", "generation": 1},
                    "spec": {"provider": "s3", "name": format!("store-{name}"), "credentialsSecretRef": {"name": "key"}},
                    "status": {
                        "observedGeneration": 1,
                        "conditions": [{"type": "Ready", "status": "True", "reason": "AsSpecified", "message": "",
                                        "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                        "capabilities": {"writable": writable, "conditionalWrites": false, "checksums": checksums},
                    },
                }))
                .expect("a Bucket");
                let secret = serde_json::from_value(json!({
                    "metadata": {"name": "key"}, "data": {"accessKeyId": "aQ==", "secretAccessKey": "aQ=="},
                }))
                .expect("a Secret");
                (name.to_owned(), BucketWithAsker { bucket, asker: Asker::Secret(Some(secret)) })
            })
            .collect()
    }

    fn found(buckets: &Buckets) -> Found {
        Found { buckets: buckets.clone(), ..Found::default() }
    }

    fn refused(replica: &DatasetReplica, buckets: &Buckets) -> Reason {
        match validate(replica, &found(buckets), Timestamp::UNIX_EPOCH) {
            Verdict::Refused(findings) => findings[0].reason,
            Verdict::Copy(_) => panic!("it was taken"),
        }
    }

    pub(in super::super) fn copied(replica: &DatasetReplica, buckets: &Buckets) -> Job {
        match validate(replica, &found(buckets), Timestamp::UNIX_EPOCH) {
            Verdict::Copy(job) => *job,
            Verdict::Refused(findings) => panic!("refused: {findings:?}"),
        }
    }

    #[test]
    fn a_slow_target_is_waited_for_where_nothing_is_to_be_read_twice() {
        let patience = |extra: Value| patience(&replica(&extra).spec);
        assert_eq!(patience(json!({})), Some(PATIENCE));
        assert_eq!(patience(json!({"mode": "Shard"})), Some(PATIENCE));
        for extra in [json!({"limits": {"egressCost": "1"}}), json!({"targets": [{"bucketRef": {"name": "b"}}]})] {
            assert_eq!(patience(extra.clone()), None, "{extra}");
        }
    }

    #[test]
    fn what_is_not_acted_on_or_wrong_is_refused() {
        let all = buckets(true, &["SHA256"]);
        for (extra, reason) in [
            (json!({"mode": "Stream"}), Reason::InvalidSpec),
            (json!({"suspend": true}), Reason::Suspended),
            (json!({"source": {"bucketRef": {"name": "a"}, "filters": {"include": ["["]}}}), Reason::InvalidSpec),
            (json!({"source": {"bucketRef": {"name": "nowhere"}}}), Reason::ReferenceNotFound),
            (json!({"schedule": {"cron": "0 25 * * *"}}), Reason::InvalidSpec),
            (json!({"limits": {"bandwidth": "16Ei"}}), Reason::InvalidSpec),
            (json!({"mode": "Shard", "sharding": {"pieceSize": "16Ei"}}), Reason::InvalidSpec),
            (json!({"limits": {"egressCost": "12.50"}}), Reason::InvalidSpec),
            (json!({"transform": {}}), Reason::InvalidSpec),
            (json!({"transform": {"steps": [masked_by("gone")]}}), Reason::ReferenceNotFound),
        ] {
            assert_eq!(refused(&replica(&extra), &all), reason, "{extra}");
        }
    }

    fn masked_by(secret: &str) -> Value {
        json!({"mask": {"columns": ["mail"], "method": "Hash", "keySecretRef": {"name": secret, "key": "key"}}})
    }

    #[test]
    fn a_mask_s_key_is_a_part_of_the_job() {
        let replica = replica(&json!({"transform": {"steps": [masked_by("mask")]}}));
        let all = buckets(true, &["SHA256"]);
        let job = |key: &[u8], version: &str| {
            let secret: k8s_openapi::api::core::v1::Secret = serde_json::from_value(json!({
                "metadata": {"name": "mask", "resourceVersion": version},
                "data": {"key": k8s_openapi::ByteString(key.to_vec())},
            }))
            .expect("a Secret");
            let found = Found { mask_keys: [("mask".to_owned(), secret)].into(), ..found(&all) };
            job(&replica, &found, Timestamp::UNIX_EPOCH)
        };
        let one = job(&[1; 16], "1").expect("a job");
        let other = job(&[2; 16], "2").expect("a job");
        assert_ne!(one.fingerprint, other.fingerprint);
        let digest = |job: &Job| job.options.transforming.as_ref().expect("a transform").transform.digest().to_owned();
        assert_ne!(digest(&one), digest(&other));
        let short = job(&[1; 15], "1").expect_err("a short key");
        assert!(short[0].message.contains("at least 16 bytes") && !short[0].message.contains("[1"), "{short:?}");
    }

    #[test]
    fn a_stream_needs_somebody_who_tells_of_changes() {
        let stream = replica(&json!({"mode": "Stream"}));
        let mut all = buckets(true, &["SHA256"]);
        let Err(findings) = job(&stream, &found(&all), Timestamp::UNIX_EPOCH) else { panic!("nobody tells") };
        assert!(findings[0].message.contains("spec.notifications"), "{findings:?}");
        let mut notified = |notifications: Value| {
            let source = &mut all.get_mut("a").expect("a Bucket").bucket.spec;
            source.notifications = Some(serde_json::from_value(notifications).expect("notifications"));
            found(&all)
        };
        let queue = notified(json!({"queue": {"url": "https://sqs.eu-west-1.amazonaws.com/1/q"}}));
        let by_queue = job(&stream, &queue, Timestamp::UNIX_EPOCH).expect("a job").teller.expect("a teller");
        assert!(by_queue.token.is_none() && by_queue.queue.is_some_and(|(url, _)| url.ends_with("/1/q")));
        assert_eq!(by_queue.origin, Origin::S3("store-a".to_owned()));

        let webhook = notified(json!({"webhook": {"tokenSecretRef": {"name": "hook"}}}));
        let told = |data: Value| {
            let token = json!({"metadata": {"name": "hook", "resourceVersion": "3"}, "data": data});
            let token = Some(serde_json::from_value(token).expect("a Secret"));
            job(&stream, &Found { token, ..webhook.clone() }, Timestamp::UNIX_EPOCH)
        };
        for missing in [job(&stream, &webhook, Timestamp::UNIX_EPOCH), told(json!({})), told(json!({"token": ""}))] {
            let findings = missing.expect_err("no token");
            assert!(findings[0].reason == Reason::ReferenceNotFound && findings[0].message.contains("\"hook\""));
        }
        let teller = told(json!({"token": "c2VjcmV0"})).expect("a job").teller.expect("a teller");
        assert_eq!((teller.token.as_deref(), teller.queue.is_none()), (Some(&b"secret"[..]), true));
        assert!(teller.version != by_queue.version);
    }

    #[test]
    fn limits_are_exact_and_the_price_is_the_source_s() {
        let mut all = buckets(true, &["SHA256"]);
        for (name, price) in [("a", "0.09"), ("b", "7")] {
            all.get_mut(name).expect("a Bucket").bucket.spec.egress_price_per_gb = Some(price.to_owned());
        }
        let limits = json!({"bandwidth": "1.5M", "requestsPerSecond": 20, "egressCost": "12.50"});
        let job = copied(&replica(&json!({"limits": limits, "schedule": {"cron": "0 3 * * *"}})), &all);
        let egress = EgressBudget { price: "0.09".parse().expect("a price"), most: "12.5".parse().expect("a cost") };
        let wanted = SourceLimits { bandwidth: NonZeroU64::new(1_500_000), egress: Some(egress) };
        assert_eq!((job.options.source_limits, job.requests_per_second), (wanted, NonZeroU32::new(20)));
        assert!(job.schedule.is_cron());
        let job = copied(&replica(&json!({"limits": {"bandwidth": 1_000_000}})), &all);
        assert_eq!(job.options.source_limits, SourceLimits { bandwidth: NonZeroU64::new(1_000_000), egress: None });
        assert!(!job.schedule.is_cron());
    }

    #[test]
    fn versions_stay_by_number_by_age_or_by_both() {
        let all = buckets(true, &["SHA256"]);
        let versions = |wanted: Value| {
            let kept =
                copied(&replica(&json!({"versions": wanted})), &all).options.versions.expect("versions are kept");
            (kept.newest, kept.replaced_within.map(|age| age.as_secs()))
        };
        assert_eq!(versions(json!({"keep": 3})), (3, None));
        assert_eq!(versions(json!({"maxAge": "2h"})), (100, Some(7200)));
        assert_eq!(versions(json!({"keep": 1, "maxAge": "90s"})), (1, Some(90)));
        assert_eq!(copied(&replica(&json!({})), &all).options.versions, None);
    }

    #[test]
    fn a_target_that_cannot_be_used_waits_alone() {
        let mut some = buckets(true, &["SHA256"]);
        some.remove("b");
        let job = copied(&replica(&json!({})), &some);
        assert!(job.targets[0].as_ref().is_err_and(|why| why.contains("no Bucket \"b\"")));
        assert!(job.targets[1].is_ok());
    }

    #[test]
    fn the_proof_fits_the_weakest_store_and_a_read_only_source_gets_no_manifest() {
        assert_eq!(
            copied(&replica(&json!({})), &buckets(true, &["SHA256"])).options.verification,
            Verification::Checksum
        );
        assert_eq!(copied(&replica(&json!({})), &buckets(true, &[])).options.verification, Verification::ReadBack);
        let mut read_only_source = buckets(true, &["SHA256"]);
        read_only_source.extend(buckets(false, &[]).into_iter().filter(|(name, _)| name == "a"));
        assert!(!copied(&replica(&json!({})), &read_only_source).options.dataset.expect("a dataset").publish_to_source);
    }

    #[test]
    fn another_key_is_another_job() {
        let before = buckets(true, &["SHA256"]);
        let mut after = before.clone();
        if let Some(Asker::Secret(Some(secret))) = after.get_mut("c").map(|with| &mut with.asker) {
            secret.metadata.resource_version = Some("2".to_owned());
        }
        let fingerprint = |buckets: &Buckets| copied(&replica(&json!({})), buckets).fingerprint;
        assert_eq!(fingerprint(&before), fingerprint(&before.clone()));
        assert_ne!(fingerprint(&before), fingerprint(&after));
    }
}
