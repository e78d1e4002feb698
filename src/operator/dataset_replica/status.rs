//! Says how far each bucket is.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use skyfleet_api::conditions::{ConditionType, Finding, Reason, conditions, is_true, whole_seconds};
use skyfleet_api::dataset_replica::{JobPhase, JobStatus, ReplicaStatus, RowsStatus, StepStatus, VersionStatus};
use skyfleet_api::{DatasetReplica, DatasetReplicaSpec, DatasetReplicaStatus};
use skyfleet_mirror::{MirrorReport, SourcePublication, TargetReport, Version};

use super::apply::{Ended, PassReport, holds_its_own};
use super::passes::{Following, Progress};
use super::validate::Job;

/// When a pass ended that another operator made of this very spec, and that is not to be tried again before its time.
pub(super) fn known_end(replica: &DatasetReplica) -> Option<Timestamp> {
    let status = replica.status.as_ref()?;
    let current = status.observed_generation == replica.metadata.generation;
    status.last_pass_time.as_ref().filter(|_| current).map(|time| time.0)
}

/// The status of a DatasetReplica that is not being worked on.
pub(super) fn without_pass(replica: &DatasetReplica, findings: &[Finding], now: Timestamp) -> DatasetReplicaStatus {
    let earlier = replica.status.clone().unwrap_or_default();
    let generation = replica.metadata.generation;
    let conditions = conditions(&earlier.conditions, findings, generation, now);
    // A pass that is cut off shall be made anew.
    DatasetReplicaStatus { observed_generation: generation, conditions, last_pass_time: None, ..earlier }
}

/// The status while a pass runs. One that has copied nothing so far only looks, and looking is not news.
pub(super) fn running(replica: &DatasetReplica, progress: &Progress, now: Timestamp) -> DatasetReplicaStatus {
    let Progress { objects, bytes, job } = progress;
    let looking = looking(replica, (*objects, *bytes), now);
    match job {
        Following::Job(job) => {
            let findings = Finding::reconciling(Reason::Progressing, following(job));
            DatasetReplicaStatus { job: Some(job.clone()), ..without_pass(replica, &findings, now) }
        }
        Following::Nothing => DatasetReplicaStatus { job: None, ..looking },
        Following::Unknown => looking,
    }
}

/// The status while a pass looks and copies in the operator.
fn looking(replica: &DatasetReplica, (objects, bytes): (u64, u64), now: Timestamp) -> DatasetReplicaStatus {
    let settled = replica.status.as_ref().is_some_and(|status| {
        status.observed_generation == replica.metadata.generation && is_true(&status.conditions, ConditionType::Ready)
    });
    match (&replica.status, objects) {
        (Some(status), 0) if settled => status.clone(),
        (_, 0) => {
            without_pass(replica, &Finding::reconciling(Reason::Progressing, "looking at source and targets"), now)
        }
        _ => {
            let message = format!("copying: {objects} objects ({bytes} bytes) verified so far");
            without_pass(replica, &Finding::reconciling(Reason::Progressing, message), now)
        }
    }
}

/// How far a Job is, as a sentence.
fn following(job: &JobStatus) -> String {
    let JobStatus { cluster, phase, ranges, ranges_done, objects, bytes, message, .. } = job;
    let what = match phase {
        JobPhase::Starting => format!("a Job in {cluster} is starting: {ranges} ranges of keys to copy"),
        JobPhase::Running => format!(
            "a Job in {cluster} copies: {ranges_done} of {ranges} ranges done, {objects} objects ({bytes} bytes) verified so far"
        ),
        JobPhase::Removing => format!("the Job in {cluster} and its credentials are being removed"),
    };
    message.as_ref().map_or_else(|| what.clone(), |message| format!("{what}; {message}"))
}

/// The status after a pass, or before the first.
pub(super) fn of_look(
    replica: &DatasetReplica,
    job: &Job,
    ended: Option<&Ended>,
    now: Timestamp,
) -> DatasetReplicaStatus {
    let Some(Ended { report, at }) = ended else {
        return running(replica, &Progress::default(), now);
    };
    debug_assert_eq!(report.targets.len(), job.targets.len());
    let earlier = replica.status.clone().unwrap_or_default();
    let spec = &replica.spec;
    let source = source(&spec.source.bucket_ref.name, &spec.source.prefix, report, earlier.source.as_ref(), now);
    let targets = spec.targets.iter().zip(&report.targets).map(|(target, outcome)| {
        let known = |status: &&ReplicaStatus| status.bucket == target.bucket_ref.name && status.prefix == target.prefix;
        let earlier = earlier.targets.iter().find(known).cloned();
        self::target(&target.bucket_ref.name, &target.prefix, outcome, earlier, now)
    });
    let targets = targets.collect();
    let findings = findings(report, spec.targets.iter().map(|target| target.bucket_ref.name.as_str()));
    let generation = replica.metadata.generation;
    let conditions = conditions(&earlier.conditions, &findings, generation, now);
    // With an interval a restart may look at once, but not spend a budget once more.
    let is_kept = report.is_over_budget() || job.schedule.is_cron() && report.complete();
    let last_pass_time = is_kept.then(|| Time(whole_seconds(*at)));
    // The last one that was true stays, as long as the data is split.
    let index = report.source.as_ref().ok().and_then(|source| source.shard_index).map(|digest| digest.to_string());
    let index = index.or(earlier.shard_index_digest).filter(|_| job.options.sharding.is_some());
    DatasetReplicaStatus {
        observed_generation: generation,
        conditions,
        source: Some(source),
        shard_index_digest: index,
        rows: rows(spec, report).or(earlier.rows).filter(|_| counts_rows(spec)),
        targets,
        stream: earlier.stream.filter(|_| job.teller.is_some()),
        // Whoever knows says it in its place.
        job: earlier.job,
        last_pass_time,
    }
}

/// Whether objects are looked at row by row, or cut between rows.
fn counts_rows(spec: &DatasetReplicaSpec) -> bool {
    spec.transform.is_some() || spec.sharding.as_ref().is_some_and(|sharding| sharding.piece_size.is_some())
}

/// What became of all rows, where a pass has seen all of them.
fn rows(spec: &DatasetReplicaSpec, report: &PassReport) -> Option<RowsStatus> {
    let source = report.source.as_ref().ok().filter(|_| counts_rows(spec))?;
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let steps =
        spec.transform.iter().flat_map(|transform| &transform.steps).zip(&source.rows.steps).map(|(step, counted)| {
            StepStatus {
                step: step.name().to_owned(),
                rows_in: count(counted.rows_in),
                rows_out: count(counted.rows_out),
            }
        });
    Some(RowsStatus {
        read: count(source.rows.rows_read),
        rejected: count(source.rows.rejected),
        written: count(source.rows.rows_written),
        steps: steps.collect(),
    })
}

fn source(
    bucket: &str,
    prefix: &str,
    report: &PassReport,
    earlier: Option<&ReplicaStatus>,
    now: Timestamp,
) -> ReplicaStatus {
    let base = earlier.filter(|status| status.bucket == bucket && status.prefix == prefix).cloned();
    let base =
        ReplicaStatus { bucket: bucket.to_owned(), prefix: prefix.to_owned(), error: None, ..base.unwrap_or_default() };
    let outcome = match &report.source {
        Ok(outcome) => outcome,
        Err(error) => return ReplicaStatus { error: Some(error.message.clone()), ..base },
    };
    let (digest, error) = match &outcome.source_publication {
        SourcePublication::Published => (outcome.manifest.map(|digest| digest.to_string()), None),
        SourcePublication::Skipped => (None, None),
        SourcePublication::Failed(error) => (None, Some(format!("the manifest could not be put here: {error}"))),
    };
    let error = error.or_else(|| outcome.failures.first().map(ToString::to_string));
    verified(base, digest, (outcome.compared, outcome.compared_bytes), now, error)
}

fn target(
    bucket: &str,
    prefix: &str,
    outcome: &Result<TargetReport, String>,
    earlier: Option<ReplicaStatus>,
    now: Timestamp,
) -> ReplicaStatus {
    let base = ReplicaStatus {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        error: None,
        ..earlier.unwrap_or_default()
    };
    match outcome {
        Ok(target) if let Some(digest) = target.manifest => {
            let versions = target.versions.iter().map(version).collect();
            let base = ReplicaStatus { versions, lag_seconds: None, ..base };
            let (objects, bytes) = (target.settled + target.copied, target.settled_bytes + target.copied_bytes);
            let error = (!target.is_complete()).then(|| failure(target));
            verified(base, Some(digest.to_string()), (objects, bytes), now, error)
        }
        Ok(outcome) => behind(base, &failure(outcome), now),
        Err(why) => behind(base, why, now),
    }
}

fn version(Version { digest, published }: &Version) -> VersionStatus {
    let published_at = published.map(|at| Time(whole_seconds(at)));
    VersionStatus { digest: digest.to_string(), published_at }
}

/// The manifest that was verified last stays: pods go on to load by it.
fn behind(base: ReplicaStatus, why: &str, now: Timestamp) -> ReplicaStatus {
    let lag = base.last_sync_time.as_ref().map(|time| now.duration_since(time.0).as_secs().max(0));
    ReplicaStatus { error: Some(why.to_owned()), lag_seconds: lag, ..base }
}

fn verified(
    base: ReplicaStatus,
    digest: Option<String>,
    (objects, bytes): (u64, u64),
    now: Timestamp,
    error: Option<String>,
) -> ReplicaStatus {
    let same = base.manifest_digest == digest;
    ReplicaStatus {
        objects: i64::try_from(objects).ok(),
        bytes: i64::try_from(bytes).ok(),
        last_sync_time: if same { base.last_sync_time } else { digest.as_ref().map(|_| Time(whole_seconds(now))) },
        manifest_digest: digest,
        error,
        ..base
    }
}

fn failure(outcome: &TargetReport) -> String {
    let first = outcome.failures.first().map(ToString::to_string);
    let left = (!outcome.left.is_nothing()).then(|| outcome.left.to_string());
    let behind = outcome.left_behind.map(|objects| {
        format!("the other targets had to wait for it, so {objects} objects are left for the next pass")
    });
    let why = outcome.error.as_ref().map(ToString::to_string).or(first).or(left).or(behind);
    let why = why.unwrap_or_else(|| "it is behind".to_owned());
    if outcome.failed > 1 { format!("{} objects failed, the first: {why}", outcome.failed) } else { why }
}

fn findings<'a>(report: &PassReport, targets: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let outcome: &MirrorReport = match &report.source {
        Ok(outcome) => outcome,
        Err(error) if error.passing => return Finding::reconciling(error.reason, error.message.clone()),
        Err(error) => return Finding::stalled(error.reason, error.message.clone()),
    };
    if report.complete() {
        let (objects, bytes) = (outcome.compared, outcome.compared_bytes);
        let message = format!("{objects} objects ({bytes} bytes) verified in {} targets", report.targets.len());
        return Finding::ready(message);
    }
    let behind: Vec<String> = targets
        .zip(&report.targets)
        .filter_map(|(bucket, target)| match target {
            Ok(target) if holds_its_own(outcome, target) => {
                (!target.is_complete()).then(|| format!("{bucket}: {}", failure(target)))
            }
            Ok(target) => Some(format!("{bucket}: {}", failure(target))),
            Err(why) => Some(format!("{bucket}: {why}")),
        })
        .collect();
    let unread = outcome.failures.first().map(|failure| format!("the source: {failure}"));
    let message = behind.into_iter().chain(unread).collect::<Vec<_>>().join("; ");
    // Failures are tried again with the next pass, too.
    let holds_its_own =
        |target: &Result<TargetReport, String>| target.as_ref().is_ok_and(|target| holds_its_own(outcome, target));
    if let Some((reason, why)) = &report.left {
        let left = outcome.handed_over.objects;
        let others = if message.is_empty() { String::new() } else { format!("; {message}") };
        return Finding::reconciling(*reason, format!("{left} objects are to be copied by a Job: {why}{others}"));
    }
    let reason = if !outcome.left.is_nothing() {
        Reason::BudgetSpent
    } else if report.targets.iter().all(holds_its_own) {
        Reason::DeletionPending
    } else {
        Reason::CopyFailed
    };
    Finding::reconciling(reason, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skyfleet_api::conditions::ConditionType;
    use skyfleet_mirror::{HandedOver, Left, ManifestDigest, Sha256};

    use super::*;
    use crate::operator::dataset_replica::validate::tests::{buckets, copied, replica};

    #[test]
    fn a_job_is_told_as_long_as_there_is_one() {
        let replica = replica(&json!({"execution": "Job"}));
        let now = Timestamp::UNIX_EPOCH;
        let job = JobStatus {
            cluster: "aws-1".to_owned(),
            phase: JobPhase::Running,
            ranges: 9,
            ranges_done: 3,
            message: Some("the API server of aws-1 does not answer".to_owned()),
            ..JobStatus::default()
        };
        let of = |job| Progress { job, ..Progress::default() };
        let status = running(&replica, &of(Following::Job(job.clone())), now);
        let said = serde_json::to_string(&status.conditions).expect("a text");
        assert!(said.contains("3 of 9 ranges done") && said.contains("does not answer"), "{said}");
        assert_eq!(status.job, Some(job.clone()));
        // An operator that has just begun does not know yet.
        let replica = DatasetReplica { status: Some(status), ..replica };
        assert_eq!(running(&replica, &of(Following::Unknown), now).job, Some(job));
        assert_eq!(running(&replica, &of(Following::Nothing), now).job, None);
    }

    #[test]
    fn what_a_job_was_to_copy_and_nobody_can_is_said_with_the_reason() {
        let outcome = MirrorReport {
            handed_over: HandedOver { objects: 7, bytes: 70 },
            targets: vec![TargetReport::default(), TargetReport::default()],
            ..MirrorReport::default()
        };
        let targets = outcome.targets.iter().cloned().map(Ok).collect();
        let left = Some((Reason::NoEligibleCluster, "no Cluster is near".to_owned()));
        let report = PassReport { source: Ok(outcome), targets, left };
        let findings = findings(&report, ["b", "c"].into_iter());
        assert_eq!(findings[0].reason, Reason::NoEligibleCluster);
        assert!(findings[0].message.contains("7 objects") && findings[0].message.contains("no Cluster is near"));
    }

    #[test]
    fn versions_are_told_and_stay_told_while_a_newer_one_is_made() {
        let replica = replica(&json!({"versions": {"keep": 2}}));
        let job = copied(&replica, &buckets(true, &["SHA256"]));
        let at: Timestamp = "2026-11-25T12:00:00.5Z".parse().expect("a time");
        let digest = |content: &[u8]| ManifestDigest(Sha256::of(content));
        let versions =
            [b"new", b"old"].map(|content| Version { digest: digest(content), published: Some(at) }).to_vec();
        let whole = TargetReport { manifest: Some(digest(b"new")), versions, ..TargetReport::default() };
        let status = |replica: &DatasetReplica, target: TargetReport| {
            let report = PassReport {
                source: Ok(MirrorReport::default()),
                targets: vec![Ok(target.clone()), Ok(target)],
                left: None,
            };
            of_look(replica, &job, Some(&Ended { report, at }), at)
        };
        let told = status(&replica, whole.clone());
        let published_at = Some(Time(whole_seconds(at)));
        let version =
            |content: &[u8]| VersionStatus { digest: digest(content).to_string(), published_at: published_at.clone() };
        assert_eq!(told.targets[1].versions, [version(b"new"), version(b"old")]);
        let replica = DatasetReplica { status: Some(told.clone()), ..replica };
        assert_eq!(status(&replica, TargetReport::default()).targets[1].versions, told.targets[1].versions);
        assert_eq!(status(&replica, whole), told, "a look that finds no change says nothing new");
    }

    #[test]
    fn what_is_left_for_its_cost_is_said_with_its_price() {
        let replica = replica(&json!({"schedule": {"cron": "0 3 * * *"}}));
        let job = copied(&replica, &buckets(true, &["SHA256"]));
        let left = Left { objects: 2, bytes: 3_000_000_000, cost: "0.27".parse().expect("a cost") };
        let behind = TargetReport { left, ..TargetReport::default() };
        let targets = vec![behind.clone(), behind.clone()];
        let outcome = MirrorReport { compared: 5, left, targets, ..MirrorReport::default() };
        let report = PassReport { source: Ok(outcome), targets: vec![Ok(behind.clone()), Ok(behind)], left: None };
        let at = "2026-11-25T12:00:00.5Z".parse().expect("a time");
        let status = of_look(&replica, &job, Some(&Ended { report, at }), at);
        for target in &status.targets {
            let error = target.error.as_deref().expect("an error");
            assert!(error.contains("2 objects (3000000000 bytes) are left") && error.contains("cost 0.27"), "{error}");
        }
        let is = |kind, reason: Reason| {
            let of = |condition: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| condition.type_ == kind;
            status.conditions.iter().find(of).is_some_and(|condition| condition.reason == reason.to_string())
        };
        assert!(is(ConditionType::Ready.to_string(), Reason::BudgetSpent), "{:?}", status.conditions);

        // A new leader knows when it ended; not so when the spec is another one, or a pass has begun since.
        let mut replica = DatasetReplica { status: Some(status), ..replica };
        assert_eq!(known_end(&replica), Some(whole_seconds(at)));
        assert_eq!(
            running(&replica, &Progress { objects: 1, bytes: 1, job: Following::Nothing }, at).last_pass_time,
            None
        );
        replica.metadata.generation = Some(2);
        assert_eq!(known_end(&replica), None);
    }
}
