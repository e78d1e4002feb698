//! What is told to those who collect lineage of a pass: pure.

use jiff::Timestamp;
use kube::ResourceExt;
use skyfleet_api::DatasetReplica;
use skyfleet_mirror::{MirrorEvent, MirrorReport, TargetReport};

use super::apply::{PassReport, holds_its_own};
use super::validate::Job;
use crate::operator::lineage::{DatasetId, Held, Run, RunEnd, run_id};

/// The run that a pass is. A target that cannot be used now is none of its outputs.
pub(super) fn run(replica: &DatasetReplica, job: &Job, started: Timestamp) -> Run {
    let outputs = job.targets.iter().flatten();
    Run {
        id: run_id(&replica.uid().unwrap_or_default(), started),
        job: (replica.namespace().unwrap_or_default(), replica.name_any()),
        started,
        input: DatasetId::of(&job.source.access.store, &job.source.prefix),
        outputs: outputs.map(|place| DatasetId::of(&place.access.store, &place.prefix)).collect(),
    }
}

/// Whether an event shows that there is something to do.
pub(super) fn is_work(event: &MirrorEvent) -> bool {
    matches!(event, MirrorEvent::Differs { .. } | MirrorEvent::Removed { .. })
}

/// Whether a target has got a version that its status does not tell yet: also one that only lost what left the source.
pub(super) fn is_new(report: &PassReport, replica: &DatasetReplica) -> bool {
    let known = |index: usize| replica.status.as_ref()?.targets.get(index)?.manifest_digest.clone();
    let versions = report.targets.iter().map(|target| target.as_ref().ok()?.manifest);
    versions
        .enumerate()
        .any(|(index, version)| version.is_some_and(|version| known(index) != Some(version.to_string())))
}

/// How a pass ended. One that left objects for a later pass to pay has done what it was to do.
pub(super) fn end(report: &PassReport, was_stopped: bool) -> RunEnd {
    match first_failure(report) {
        Some(_) if was_stopped => RunEnd::Abort,
        Some(why) => RunEnd::Fail(why),
        None => RunEnd::Complete,
    }
}

fn first_failure(report: &PassReport) -> Option<String> {
    let source = match &report.source {
        Ok(source) => source,
        Err(error) => return Some(error.message.clone()),
    };
    if let Some(failure) = source.failures.first() {
        return Some(format!(
            "{} objects could not be read from the source, the first of them: {failure}",
            source.source_failures
        ));
    }
    report.targets.iter().find_map(|target| match target {
        Ok(target) => failure_of(target),
        Err(why) => Some(format!("a target was left out: {why}")),
    })
}

fn failure_of(target: &TargetReport) -> Option<String> {
    let of_all = target.error.as_ref().map(|error| format!("a target failed: {error}"));
    of_all.or_else(|| {
        let first = target.failures.first()?;
        Some(format!("{} objects failed at a target, the first of them: {first}", target.failed))
    })
}

/// What the outputs of the run hold, where they hold what they are to.
pub(super) fn held(report: &PassReport, job: &Job) -> Vec<Option<Held>> {
    let Ok(source) = &report.source else { return Vec::new() };
    // Of one that is split, rows are counted for all parts together.
    let is_counted = source.rows.rows_read > 0 && job.options.transforming.is_some() && job.options.sharding.is_none();
    let rows = is_counted.then_some(source.rows.rows_written);
    let usable = job.targets.iter().zip(&report.targets).filter(|(place, _)| place.is_ok());
    usable.map(|(_, target)| held_at(source, target.as_ref().ok()?, rows)).collect()
}

fn held_at(source: &MirrorReport, target: &TargetReport, rows: Option<u64>) -> Option<Held> {
    let version = target.manifest.filter(|_| holds_its_own(source, target))?.to_string();
    let (objects, bytes) = (target.settled + target.copied, target.settled_bytes + target.copied_bytes);
    Some(Held { version, objects, bytes, rows })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skyfleet_api::conditions::Reason;
    use skyfleet_mirror::{ManifestDigest, Sha256, TargetError};

    use super::*;
    use crate::operator::dataset_replica::apply::PassError;
    use crate::operator::dataset_replica::validate::tests::{buckets, copied, replica};

    fn digest() -> ManifestDigest {
        ManifestDigest(Sha256::of(b""))
    }

    fn target() -> TargetReport {
        TargetReport {
            manifest: Some(digest()),
            settled: 1,
            settled_bytes: 10,
            copied: 2,
            copied_bytes: 20,
            ..TargetReport::default()
        }
    }

    fn report(targets: Vec<Result<TargetReport, String>>) -> PassReport {
        let source = Ok(MirrorReport { manifest: Some(digest()), ..MirrorReport::default() });
        PassReport { source, targets, left: None }
    }

    #[test]
    fn a_run_names_the_job_and_the_places() {
        let replica = replica(&json!({}));
        let mut some = buckets(true, &["SHA256"]);
        some.remove("b");
        let job = copied(&replica, &some);
        let run = run(&replica, &job, Timestamp::UNIX_EPOCH);
        let id = |bucket: &str| DatasetId { namespace: format!("s3://store-{bucket}"), name: "w".to_owned() };
        assert_eq!((run.job, run.input), (("ml".to_owned(), "weights".to_owned()), id("a")));
        assert_eq!(run.outputs, [id("c")], "the other one waits");
        let held_by = held(&report(vec![Err("its Bucket".to_owned()), Ok(target())]), &job);
        let held = Held { version: digest().to_string(), objects: 3, bytes: 30, rows: None };
        assert_eq!(held_by, [Some(held)]);
    }

    #[test]
    fn work_is_what_is_written_or_a_version_that_is_not_told_yet() {
        let differs = MirrorEvent::Differs { target: 0, key: "a".to_owned(), bytes: 1, modified: 0 };
        assert!(is_work(&differs) && !is_work(&MirrorEvent::Compared(1)));
        let mut replica = replica(&json!({}));
        let whole = report(vec![Ok(target()), Err("its Bucket is not Ready".to_owned())]);
        assert!(is_new(&whole, &replica));
        let told = json!({"targets": [{"bucket": "b", "manifestDigest": digest().to_string()}, {"bucket": "c"}]});
        replica.status = serde_json::from_value(told).expect("a status");
        assert!(!is_new(&whole, &replica));
        let behind = report(vec![Ok(TargetReport::default()), Ok(TargetReport::default())]);
        assert!(!is_new(&behind, &replica));
    }

    #[test]
    fn what_failed_is_told_and_what_is_behind_has_no_version() {
        let job = copied(&replica(&json!({})), &buckets(true, &["SHA256"]));
        let whole = report(vec![Ok(target()), Ok(target())]);
        assert_eq!((end(&whole, false), end(&whole, true)), (RunEnd::Complete, RunEnd::Complete));
        let error = Some(TargetError::SourceIncomplete);
        let behind = report(vec![Ok(target()), Ok(TargetReport { error, ..TargetReport::default() })]);
        assert!(matches!(end(&behind, false), RunEnd::Fail(why) if why.starts_with("a target failed: ")));
        assert_eq!(end(&behind, true), RunEnd::Abort);
        assert_eq!(held(&behind, &job).iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
        let source = Err(PassError { reason: Reason::CopyFailed, message: "it is gone".to_owned(), passing: true });
        let gone = PassReport { source, targets: Vec::new(), left: None };
        assert_eq!((end(&gone, false), held(&gone, &job)), (RunEnd::Fail("it is gone".to_owned()), vec![]));
        let left_out = report(vec![Ok(target()), Err("its Bucket is not Ready".to_owned())]);
        assert_eq!(end(&left_out, false), RunEnd::Fail("a target was left out: its Bucket is not Ready".to_owned()));
    }
}
