//! What a DatasetReplica waits for: those whose targets it reads.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use skyfleet_api::conditions::{ConditionType, Finding, Reason, is_true};
use skyfleet_api::dataset_replica::ReplicaStatus;
use skyfleet_api::{DatasetReplica, DatasetReplicaSpec};
use skyfleet_mirror::{DatasetName, InvalidDigest, ManifestDigest};
use skyfleet_plan::chain::{Flow, Place, Upstream, upstream};

/// A DatasetReplica that another is made of, and those of its targets that the other reads.
pub(super) type Feeding = (Arc<DatasetReplica>, Vec<usize>);

/// A version of what another DatasetReplica has written, which is read whatever lies there by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pinned {
    pub(super) dataset: DatasetName,
    pub(super) digest: ManifestDigest,
    /// The prefix of the other's target.
    pub(super) prefix: String,
    /// What lies between that and the prefix that is read.
    pub(super) within: String,
}

/// How a DatasetReplica stands to those it is made of.
#[derive(Debug, PartialEq)]
pub(super) enum Standing {
    /// What it reads is there. The versions of it: of another one a pass is due at once. Where it is to read one of them and no other, that.
    Ready { follows: String, pinned: Option<Pinned> },
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
pub(super) fn standing(replica: &DatasetReplica, feeding: &[Feeding]) -> Standing {
    match &replica.spec.source.digest {
        Some(digest) => match pinned(replica, digest, feeding) {
            Ok(pinned) => Standing::Ready { follows: digest.clone(), pinned: Some(pinned) },
            Err(findings) => Standing::Waits(findings),
        },
        None => following(feeding),
    }
}

/// One that reads a version waits for nobody who makes another; that one has to be there.
fn pinned(replica: &DatasetReplica, digest: &str, feeding: &[Feeding]) -> Result<Pinned, Vec<Finding>> {
    let stalled = |message: String| Finding::stalled(Reason::InvalidSpec, message);
    let source = &replica.spec.source;
    let around = feeding.iter().flat_map(|(of, targets)| targets.iter().map(move |target| (of, *target)));
    let around = around.filter_map(|(of, target)| {
        let place = of.spec.targets.get(target)?;
        let within = source.prefix.strip_prefix(&place.prefix)?;
        (place.bucket_ref == source.bucket_ref).then_some((of, target, place, within))
    });
    let Some((of, target, place, within)) = around.min_by_key(|(.., within)| within.len()) else {
        return Err(stalled(format!(
            "spec.source.digest: {digest} would be a version of what another DatasetReplica writes, and none has a target around {:?} \
             in the Bucket {:?}: leave the digest out",
            source.prefix, source.bucket_ref.name
        )));
    };
    let name = of.metadata.name.as_deref().unwrap_or_default();
    let status = status_of(of, target);
    if !status.is_some_and(|status| status.has_version(digest)) {
        let newest = status.and_then(|status| status.manifest_digest.as_deref()).unwrap_or("none yet");
        return Err(waits(format!(
            "spec.source.digest wants {digest}, which is none of the versions of the DatasetReplica {name:?} in the Bucket {:?} (its newest \
             is {newest}): its spec.versions says which stay",
            place.bucket_ref.name
        )));
    }
    let namespace = replica.metadata.namespace.as_deref().unwrap_or_default();
    Ok(Pinned {
        dataset: DatasetName::new(namespace, name).map_err(|error| stalled(error.to_string()))?,
        digest: digest.parse().map_err(|error: InvalidDigest| stalled(error.to_string()))?,
        prefix: place.prefix.clone(),
        within: within.to_owned(),
    })
}

fn following(feeding: &[Feeding]) -> Standing {
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
    Standing::Ready { follows, pinned: None }
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
            standing(&clean, &feeding(&clean, &all).expect("no circle"))
        };
        let said = message(beside(&json!(null)));
        assert!(said.contains("\"raw\", whose data is not verified in the Bucket \"b\""), "{said}");
        let verified = |digest: &str| json!({"targets": [{"bucket": "b", "prefix": "raw/", "manifestDigest": digest}]});
        let follows = |digest: &str| beside(&verified(digest));
        let follows_it = Standing::Ready { follows: "sha256:1 ".to_owned(), pinned: None };
        assert_eq!(follows("sha256:1"), follows_it);
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
    fn one_that_reads_a_version_waits_for_that_alone() {
        let digest = |content: &[u8]| ManifestDigest(skyfleet_mirror::Sha256::of(content));
        let (old, new) = (digest(b"old"), digest(b"new"));
        let mut clean = (*replica("clean", "b/raw/2026/", "b/clean/", &json!(null))).clone();
        clean.spec.source.digest = Some(old.to_string());
        let beside = |name: &str, prefix: &str, versions: &Value| {
            let target = json!({"bucket": "b", "prefix": prefix, "manifestDigest": new, "versions": versions});
            let mut status = json!({"targets": [target]});
            status["conditions"] = json!([condition("Reconciling", "Progressing")]);
            let all = [replica(name, "a/in/", &format!("b/{prefix}"), &status)];
            standing(&clean, &feeding(&clean, &all).expect("no circle"))
        };
        let wanted = Pinned {
            dataset: "ml.raw".parse().expect("a name"),
            digest: old,
            prefix: "raw/".to_owned(),
            within: "2026/".to_owned(),
        };
        let ready = Standing::Ready { follows: old.to_string(), pinned: Some(wanted) };
        assert_eq!(beside("raw", "raw/", &json!([{"digest": new}, {"digest": old}])), ready, "though it is copying");
        let said = message(beside("raw", "raw/", &json!([{"digest": new}])));
        assert!(said.contains(&format!("its newest is {new}")) && said.contains("spec.versions"), "{said}");
        let said = message(beside("part", "raw/2026/07/", &json!([{"digest": old}])));
        assert!(said.contains("none has a target around"), "it writes only a part of it: {said}");
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
