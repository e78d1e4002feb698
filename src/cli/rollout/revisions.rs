//! The revisions that the operator has kept: which is which, and which one to go back to. Pure.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use serde_json::{Value, json};
use skyfleet_api::model_deployment::RolloutStatus;

use super::patch::{merge_patch, paths};
use crate::cli::failure::Failure;
use crate::cli::table::table;

/// On a ControllerRevision: the hash that the status of a rollout names it by.
const HASH: &str = "skyfleet.dev/revision";
/// The fields of the spec that make a revision.
const FIELDS: [&str; 3] = ["model", "runtime", "service"];

/// A revision.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Revision {
    pub(super) number: i64,
    hash: String,
    created: Option<Timestamp>,
    /// The fields of the spec that make it.
    pub(super) data: Value,
}

/// Revisions in the order of their numbers.
pub(super) fn revisions(kept: Vec<ControllerRevision>) -> Vec<Revision> {
    let mut all: Vec<Revision> = kept.into_iter().map(revision).collect();
    all.sort_by_key(|revision| revision.number);
    all
}

fn revision(kept: ControllerRevision) -> Revision {
    Revision {
        number: kept.revision,
        hash: kept.labels().get(HASH).cloned().unwrap_or_else(|| kept.name_any()),
        created: kept.metadata.creation_timestamp.as_ref().map(|time| time.0),
        data: kept.data.map_or(Value::Null, |data| data.0),
    }
}

/// The fields of a spec that make a revision.
pub(super) fn of_spec(spec: &Value) -> Value {
    let fields = FIELDS.iter().filter_map(|field| Some(((*field).to_owned(), spec.get(*field)?.clone())));
    Value::Object(fields.collect())
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

/// The newest revision that is not what the spec asks for already.
pub(super) fn previous<'a>(all: &'a [Revision], spec: &Value) -> Result<&'a Revision, Failure> {
    let other = |revision: &&Revision| undo(spec, revision).is_some();
    let none = || Failure::Rollout("no other revision is kept: there is nothing to go back to".to_owned());
    all.iter().rev().find(other).ok_or_else(none)
}

/// The merge patch of an object that gives it back the revision; `None` when it has it.
pub(super) fn undo(spec: &Value, revision: &Revision) -> Option<Value> {
    let patch = merge_patch(&of_spec(spec), &revision.data)?;
    Some(json!({"spec": patch}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: i64, hash: &str, image: &str) -> ControllerRevision {
        serde_json::from_value(json!({
            "metadata": {"name": format!("minilm-{hash}"), "labels": {HASH: hash},
                "creationTimestamp": "2026-01-02T03:04:05Z"},
            "revision": number,
            "data": {"model": {"name": "m"}, "runtime": {"image": image, "port": 80}, "service": {"type": "NodePort"}},
        }))
        .expect("a ControllerRevision")
    }

    fn spec(image: &str) -> Value {
        json!({
            "model": {"name": "m"}, "runtime": {"image": image, "port": 80, "args": ["--fast"]},
            "service": {"type": "NodePort"}, "replicas": 3, "rollout": {},
        })
    }

    #[test]
    fn history_marks_what_is_current_and_what_is_stable() {
        let all = revisions(vec![kept(3, "ccc", "i:3"), kept(1, "aaa", "i:1"), kept(2, "bbb", "i:1")]);
        let status = serde_json::from_value(json!({
            "phase": "Progressing", "targetRevision": "ccc", "stableRevision": "aaa",
        }))
        .expect("a status");
        assert_eq!(
            history(&all, Some(&status)),
            "REVISION   HASH   CREATED                IS        CHANGES\n\
             1          aaa    2026-01-02T03:04:05Z   stable    the first that is kept\n\
             2          bbb    2026-01-02T03:04:05Z\n\
             3          ccc    2026-01-02T03:04:05Z   current   runtime.image"
        );
    }

    #[test]
    fn undo_goes_to_the_newest_that_is_another_and_removes_what_it_lacks() {
        let all = revisions(vec![kept(1, "aaa", "i:1"), kept(2, "bbb", "i:2")]);
        let mut spec = spec("i:2");
        let patch = undo(&spec, previous(&all, &spec).unwrap()).unwrap();
        assert_eq!(patch, json!({"spec": {"runtime": {"args": null}}}), "the arguments are newer than revision 2");
        spec["runtime"].as_object_mut().unwrap().remove("args");
        let previous = previous(&all, &spec).unwrap();
        assert_eq!((previous.number, undo(&spec, previous)), (1, Some(json!({"spec": {"runtime": {"image": "i:1"}}}))));
    }

    #[test]
    fn without_another_revision_there_is_nothing_to_go_back_to() {
        let mut spec = spec("i:1");
        spec["runtime"].as_object_mut().unwrap().remove("args");
        let all = revisions(vec![kept(1, "aaa", "i:1")]);
        assert!(previous(&all, &spec).unwrap_err().to_string().contains("nothing to go back to"));
        let error = numbered(&all, 7).unwrap_err();
        assert_eq!((error.exit_status(), error.to_string().contains("kept are: 1")), (2, true));
    }
}
