//! What a DatasetReplica waits for: those whose targets it reads.

use std::sync::Arc;

use skyfleet_api::conditions::{ConditionType, Finding, Reason, is_true};
use skyfleet_api::dataset_replica::ReplicaStatus;
use skyfleet_api::{DatasetReplica, DatasetReplicaSpec};
use skyfleet_plan::chain::{Flow, Place, Upstream, upstream};

/// A DatasetReplica that another is made of, and those of its targets that the other reads.
pub(super) type Feeding = (Arc<DatasetReplica>, Vec<usize>);

/// How a DatasetReplica stands to those it is made of.
#[derive(Debug, PartialEq)]
pub(super) enum Standing {
    /// What it reads is there. The versions of it: of another one a pass is due at once.
    Ready { follows: String },
    /// A pass must not begin now.
    Waits(Vec<Finding>),
}

/// What it is made of, by all DatasetReplicas of its namespace; or why it cannot be.
pub(super) fn feeding(replica: &DatasetReplica, all: &[Arc<DatasetReplica>]) -> Result<Vec<Feeding>, Vec<Finding>> {
    let flows: Vec<_> = all.iter().map(|other| flow(other)).collect();
    let upstream =
        upstream(&flow(replica), &flows).map_err(|circle| Finding::stalled(Reason::InvalidSpec, circle.to_string()))?;
    let named = |Upstream { name, targets }: Upstream| {
        let of = all.iter().find(|other| other.metadata.name.as_deref() == Some(&name))?;
        Some((of.clone(), targets))
    };
    Ok(upstream.into_iter().filter_map(named).collect())
}

/// Whether a pass may begin, by how those are now.
pub(super) fn standing(feeding: &[Feeding]) -> Standing {
    let mut follows = String::new();
    for (of, targets) in feeding {
        let name = of.metadata.name.as_deref().unwrap_or_default();
        if is_copying(of) {
            return Standing::Waits(waits(format!("waits for the DatasetReplica {name:?}, which is copying")));
        }
        for target in targets {
            let status = status_of(of, *target);
            let Some(digest) = status.and_then(|status| status.manifest_digest.as_deref()) else {
                let bucket = of.spec.targets.get(*target).map_or("", |target| &target.bucket_ref.name);
                return Standing::Waits(waits(format!(
                    "waits for the DatasetReplica {name:?}, whose data is not verified in the Bucket {bucket:?} yet"
                )));
            };
            follows.push_str(digest);
            follows.push(' ');
        }
    }
    Standing::Ready { follows }
}

/// Whether one may be made of what the other makes.
pub(super) fn feeds(of: &DatasetReplica, replica: &DatasetReplica) -> bool {
    let source = flow(replica).source;
    flow(of).targets.iter().any(|target| target.overlaps(&source))
}

fn waits(message: String) -> Vec<Finding> {
    Finding::reconciling(Reason::WaitingForData, message)
}

fn is_copying(replica: &DatasetReplica) -> bool {
    let conditions = replica.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
    let progressing = Reason::Progressing.to_string();
    is_true(conditions, ConditionType::Reconciling)
        && conditions.iter().any(|condition| condition.reason == progressing)
}

fn status_of(replica: &DatasetReplica, target: usize) -> Option<&ReplicaStatus> {
    let wanted = replica.spec.targets.get(target)?;
    let is_it = |status: &&ReplicaStatus| status.bucket == wanted.bucket_ref.name && status.prefix == wanted.prefix;
    replica.status.as_ref()?.targets.iter().find(is_it)
}

fn flow(replica: &DatasetReplica) -> Flow {
    let DatasetReplicaSpec { source, targets, .. } = &replica.spec;
    let place = |bucket: &str, prefix: &str| Place { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
    Flow {
        name: replica.metadata.name.clone().unwrap_or_default(),
        created: replica.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
        source: place(&source.bucket_ref.name, &source.prefix),
        targets: targets.iter().map(|target| place(&target.bucket_ref.name, &target.prefix)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn replica(name: &str, source: &str, target: &str, status: &Value) -> Arc<DatasetReplica> {
        let place = |text: &str| {
            let (bucket, prefix) = text.split_once('/').expect("a bucket and a prefix");
            json!({"bucketRef": {"name": bucket}, "prefix": prefix})
        };
        let manifest = json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "DatasetReplica",
            "metadata": {"name": name, "namespace": "ml"},
            "spec": {"source": place(source), "targets": [place(target)]}, "status": status,
        });
        Arc::new(serde_json::from_value(manifest).expect("a DatasetReplica"))
    }

    fn condition(kind: &str, reason: &str) -> Value {
        json!({"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    fn message(standing: Standing) -> String {
        match standing {
            Standing::Waits(findings) => findings[0].message.clone(),
            Standing::Ready { .. } => panic!("it is ready"),
        }
    }

    #[test]
    fn one_that_reads_what_another_writes_waits_for_it() {
        let clean = replica("clean", "b/raw/2026/", "b/clean/", &json!(null));
        let beside = |status: &Value| {
            let all = [replica("raw", "a/in/", "b/raw/", status), clean.clone()];
            standing(&feeding(&clean, &all).expect("no circle"))
        };
        let said = message(beside(&json!(null)));
        assert!(said.contains("\"raw\", whose data is not verified in the Bucket \"b\""), "{said}");
        let verified = |digest: &str| json!({"targets": [{"bucket": "b", "prefix": "raw/", "manifestDigest": digest}]});
        let follows = |digest: &str| beside(&verified(digest));
        assert_eq!(follows("sha256:1"), Standing::Ready { follows: "sha256:1 ".to_owned() });
        assert_ne!(follows("sha256:1"), follows("sha256:2"));
        let mut copying = verified("sha256:1");
        copying["conditions"] = json!([condition("Reconciling", "Progressing")]);
        assert!(message(beside(&copying)).contains("which is copying"));
        // It does not get ready by itself, and what was verified once can be read.
        copying["conditions"] = json!([condition("Reconciling", "CopyFailed")]);
        assert_eq!(beside(&copying), follows("sha256:1"));
        assert_eq!(feeding(&replica("free", "z/", "y/", &json!(null)), &[clean]), Ok(vec![]));
    }

    #[test]
    fn data_does_not_flow_in_circles() {
        let all = [replica("there", "b/x/", "a/x/y/", &json!(null)), replica("back", "a/x/", "b/x/", &json!(null))];
        let refused = feeding(&all[0], &all).expect_err("a circle");
        assert!(refused[0].message.contains("in a circle (there -> back -> there)"), "{refused:?}");
        assert_eq!(feeding(&all[1], &all), Ok(vec![]), "of two as old the last by name is refused");
        assert!(feeds(&all[0], &all[1]) && feeds(&all[1], &all[0]));
    }
}
