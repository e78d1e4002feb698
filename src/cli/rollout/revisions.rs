//! The revisions that the operator has kept: which is which, and which one to go back to. Pure.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use serde_json::{Value, json};
use skyfleet_api::model_deployment::RolloutStatus;
use skyfleet_api::{ModelDeployment, labels};
use skyfleet_plan::revision::Revision as Content;

use super::patch::{merge_patch, paths};
use crate::cli::failure::Failure;
use crate::cli::table::table;

/// The fields of the spec that make a revision.
const FIELDS: [&str; 3] = ["model", "runtime", "service"];

/// A revision that is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Revision {
    pub(super) number: i64,
    hash: String,
    created: Option<Timestamp>,
    /// As it is stored.
    pub(super) data: Value,
    content: Content,
}

/// The revisions of a ModelDeployment in the order of their numbers. Those of a namesake that was deleted don't count.
pub(super) fn revisions(kept: Vec<ControllerRevision>, model: &ModelDeployment) -> Result<Vec<Revision>, Failure> {
    let ours = |kept: &ControllerRevision| {
        kept.owner_references().iter().any(|owner| Some(&owner.uid) == model.metadata.uid.as_ref())
    };
    let mut all = kept.into_iter().filter(ours).map(revision).collect::<Result<Vec<_>, _>>()?;
    all.sort_by_key(|revision| revision.number);
    Ok(all)
}

fn revision(kept: ControllerRevision) -> Result<Revision, Failure> {
    let name = kept.name_any();
    let hash = kept.labels().get(labels::REVISION).cloned().unwrap_or_else(|| name.clone());
    let created = kept.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let data = kept.data.map_or(Value::Null, |data| data.0);
    let content = serde_json::from_value(data.clone())
        .map_err(|error| Failure::Rollout(format!("the ControllerRevision {name:?} is not understood: {error}")))?;
    Ok(Revision { number: kept.revision, hash, created, data, content })
}

/// All revisions as a table: what each changes against the one before, and which is current and which stable.
pub(super) fn history(all: &[Revision], status: Option<&RolloutStatus>) -> String {
    let before = std::iter::once(None).chain(all.iter().map(Some));
    let rows: Vec<[String; 5]> = all
        .iter()
        .zip(before)
        .map(|(revision, before)| {
            [
                revision.number.to_string(),
                revision.hash.clone(),
                revision.created.map_or_else(String::new, |created| created.to_string()),
                marks(revision, status),
                change(before, revision),
            ]
        })
        .collect();
    table(["REVISION", "HASH", "CREATED", "IS", "CHANGES"], &rows).trim_end().to_owned()
}

fn marks(revision: &Revision, status: Option<&RolloutStatus>) -> String {
    let Some(status) = status else { return String::new() };
    let current = status.target_revision == revision.hash;
    let stable = status.stable_revision.as_ref() == Some(&revision.hash);
    let marks = [(current, "current"), (stable, "stable")];
    marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect::<Vec<_>>().join(", ")
}

fn change(before: Option<&Revision>, revision: &Revision) -> String {
    match before {
        None => "the first that is kept".to_owned(),
        Some(before) => merge_patch(&before.data, &revision.data).map_or_else(String::new, |p| paths(&p).join(", ")),
    }
}

/// The revision of this number.
pub(super) fn numbered(all: &[Revision], number: i64) -> Result<&Revision, Failure> {
    all.iter().find(|revision| revision.number == number).ok_or_else(|| {
        let known: Vec<String> = all.iter().map(|revision| revision.number.to_string()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Failure::Usage(format!("there is no revision {number}; kept are: {known}"))
    })
}

/// The newest revision that is not what the ModelDeployment asks for already.
pub(super) fn previous<'a>(all: &'a [Revision], model: &ModelDeployment) -> Result<&'a Revision, Failure> {
    let none = || Failure::Rollout("no other revision is kept: there is nothing to go back to".to_owned());
    all.iter().rev().find(|revision| !is_current(all, revision, model)).ok_or_else(none)
}

/// Whether a ModelDeployment asks for this revision.
pub(super) fn is_current(all: &[Revision], revision: &Revision, model: &ModelDeployment) -> bool {
    let digest = digest(all, model).or_else(|| revision.content.digest.clone());
    Content::of(&model.spec, digest) == revision.content
}

/// What takes a ModelDeployment back to a revision.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Undo {
    /// The merge patch.
    pub(super) patch: Value,
    /// The version of the data that it stays on from then on, where it followed the newest.
    pub(super) pinned: Option<String>,
}

/// What takes a ModelDeployment back to a revision; `stored` is its spec as it is stored. A revision had its version of the
/// data: where that is another than now it is named, or the newest would be loaded again.
pub(super) fn undo(all: &[Revision], revision: &Revision, model: &ModelDeployment, stored: &Value) -> Undo {
    let goal = |content: &Value| {
        let fields = FIELDS.iter().filter_map(|field| Some(((*field).to_owned(), content.get(*field)?.clone())));
        Value::Object(fields.collect())
    };
    let mut to = goal(&revision.data);
    let pinned = revision.content.digest.clone().filter(|digest| Some(digest) != self::digest(all, model).as_ref());
    let pinned = pinned.filter(|_| to.pointer("/model/datasetReplica").is_some());
    if let Some(digest) = &pinned {
        to["model"]["datasetReplica"]["digest"] = json!(digest);
    }
    let patch = merge_patch(&goal(stored), &to).unwrap_or_else(|| json!({}));
    Undo { patch: json!({"spec": patch}), pinned }
}

/// The version of the data that a ModelDeployment asks for, as far as its rollout has said.
fn digest(all: &[Revision], model: &ModelDeployment) -> Option<String> {
    let pinned = model.spec.model.dataset_replica.as_ref().and_then(|dataset| dataset.digest.clone());
    let target = model.status.as_ref().and_then(|status| status.rollout.as_ref()).map(|status| &status.target_revision);
    let targeted = || all.iter().find(|revision| Some(&revision.hash) == target)?.content.digest.clone();
    pinned.or_else(targeted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "sha256:now";

    fn kept(number: i64, hash: &str, image: &str, digest: &str) -> ControllerRevision {
        serde_json::from_value(json!({
            "metadata": {"name": format!("minilm-{hash}"), "labels": {labels::REVISION: hash},
                "creationTimestamp": "2026-01-02T03:04:05Z",
                "ownerReferences": [{"apiVersion": "v", "kind": "k", "name": "minilm", "uid": "u"}]},
            "revision": number,
            "data": {"model": {"name": "m", "mountPath": "/models", "datasetReplica": {"name": "d"}},
                "runtime": {"preset": "custom", "image": image, "port": 80}, "service": {"type": "NodePort"},
                "digest": digest},
        }))
        .expect("a ControllerRevision")
    }

    fn model(image: &str, target: &str) -> (ModelDeployment, Value) {
        let manifest = json!({
            "metadata": {"name": "minilm", "uid": "u"},
            "spec": {"model": {"name": "m", "mountPath": "/models", "datasetReplica": {"name": "d"}},
                "runtime": {"preset": "custom", "image": image, "port": 80},
                "service": {"type": "NodePort"}, "replicas": 3, "rollout": {}},
            "status": {"rollout": {"phase": "Progressing", "targetRevision": target, "stableRevision": "aaa"}},
        });
        let spec = manifest["spec"].clone();
        (serde_json::from_value(manifest).expect("a ModelDeployment"), spec)
    }

    fn all(model: &ModelDeployment) -> Vec<Revision> {
        let mut stranger = kept(9, "zzz", "i:9", NOW);
        stranger.metadata.owner_references.as_mut().unwrap()[0].uid = "another".to_owned();
        let kept =
            vec![kept(3, "ccc", "i:3", NOW), kept(1, "aaa", "i:1", NOW), kept(2, "bbb", "i:1", "sha256:old"), stranger];
        revisions(kept, model).expect("they are understood")
    }

    #[test]
    fn history_marks_what_is_current_and_what_is_stable() {
        let (model, _) = model("i:3", "ccc");
        let status = model.status.as_ref().and_then(|status| status.rollout.as_ref());
        assert_eq!(
            history(&all(&model), status),
            "REVISION   HASH   CREATED                IS        CHANGES\n\
             1          aaa    2026-01-02T03:04:05Z   stable    the first that is kept\n\
             2          bbb    2026-01-02T03:04:05Z             digest\n\
             3          ccc    2026-01-02T03:04:05Z   current   digest, runtime.image"
        );
    }

    #[test]
    fn undo_goes_to_the_newest_that_is_another_with_its_data_and_removes_what_it_lacks() {
        let (model, mut spec) = model("i:3", "ccc");
        let all = all(&model);
        assert!(is_current(&all, &all[2], &model));
        spec["runtime"]["ofANewerVersion"] = json!(true);
        let previous = previous(&all, &model).unwrap();
        let undone = undo(&all, previous, &model, &spec);
        assert_eq!((previous.number, undone.pinned.as_deref()), (2, Some("sha256:old")));
        assert_eq!(
            undone.patch,
            json!({"spec": {
                "model": {"datasetReplica": {"digest": "sha256:old"}}, "runtime": {"image": "i:1", "ofANewerVersion": null},
            }})
        );
        let undone = undo(&all, &all[0], &model, &spec);
        assert_eq!(undone.pinned, None, "its data is the newest");
    }

    #[test]
    fn without_another_revision_there_is_nothing_to_go_back_to() {
        let (model, _) = model("i:1", "aaa");
        let all = revisions(vec![kept(1, "aaa", "i:1", NOW)], &model).unwrap();
        assert!(previous(&all, &model).unwrap_err().to_string().contains("nothing to go back to"));
        let error = numbered(&all, 7).unwrap_err();
        assert_eq!((error.exit_status(), error.to_string().contains("kept are: 1")), (2, true));
    }
}
