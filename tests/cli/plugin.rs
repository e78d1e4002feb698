//! `explain` and `rollout` as a person runs them, against a stand-in for the hub.

use std::time::Duration;

use serde_json::{Value, json};

use crate::hub::{Hub, MODEL};
use crate::{assert_fails, run};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/skyfleet-system/leases/skyfleet-operator";
const OPERATOR: &str = "/api/v1/namespaces/skyfleet-system/pods/skyfleet-0:8080/proxy/explain/default/minilm";
const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";

fn model(more: &Value) -> Value {
    let mut model = json!({
        "apiVersion": "skyfleet.dev/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": "minilm", "namespace": "default", "uid": "u", "generation": 2, "resourceVersion": "7"},
        "spec": {"model": {"name": "m", "mountPath": "/models", "image": {}}, "service": {"type": "ClusterIP"},
            "runtime": {"preset": "custom", "image": "i:2", "port": 80, "args": ["--new"]}, "replicas": 2},
    });
    for (key, value) in more.as_object().unwrap() {
        for (field, value) in value.as_object().unwrap() {
            model[key][field] = value.clone();
        }
    }
    model
}

fn with_rollout(paused: bool, phase: &str, message: &str) -> Value {
    model(&json!({
        "spec": {"rollout": {"paused": paused}},
        "status": {"observedGeneration": 2, "rollout": {"phase": phase, "targetRevision": "bbb", "stableRevision": "aaa",
            "wave": 1, "waves": 2, "message": message}},
    }))
}

fn snapshot() -> Value {
    let cluster = |name: &str, taints: Value| {
        json!({"name": name, "provider": "aws", "region": "r", "taints": taints, "room": {"replicas": 3, "preferred": 3},
            "contact": {"state": "answering", "since": "2026-01-01T00:00:00Z"}})
    };
    json!({
        "request": {"replicas": 2}, "maxLostShare": 0.5, "now": "2026-01-02T00:00:00Z",
        "candidates": [cluster("aws-1", json!([])), cluster("aws-2", json!([{"key": "k", "effect": "NoSchedule"}]))],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_asks_the_operator_that_leads() {
    let hub = Hub::start().await;
    assert_fails(
        hub.skyfleet(&["explain", "minilm"]),
        6,
        "there is no ModelDeployment \"minilm\" in the namespace \"default\"",
    );
    assert_fails(hub.skyfleet(&["explain", "cluster/aws-1"]), 2, "give modeldeployment/NAME");
    hub.answers(MODEL, &model(&json!({})));
    hub.answers(LEASE, &json!({"metadata": {}, "spec": {"holderIdentity": "skyfleet-0"}}));
    hub.answers(OPERATOR, &json!({"snapshot": snapshot()}));
    let (code, stdout, stderr) = run(hub.skyfleet(&["explain", "modeldeployment/minilm"]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(
        stdout.starts_with("ModelDeployment default/minilm: 2 asked for, 2 placed, 0 ready; RoundRobin\n"),
        "{stdout}"
    );
    assert!(stdout.contains("aws-2 takes no replica: taint k=:NoSchedule is not tolerated"), "{stdout}");
    assert!(stdout.ends_with("At most 3 replicas could be placed now; 2 are asked for.\n"), "{stdout}");
    let (_, stdout, _) = run(hub.skyfleet(&["explain", "skm/minilm", "-o", "json"]));
    let explained: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(explained["source"]["kind"], "operator");

    hub.says(OPERATOR, 409, "nothing is decided for it: there is no DatasetReplica \"d\" in this namespace\n");
    assert_fails(hub.skyfleet(&["explain", "minilm"]), 1, "nothing is placed: there is no DatasetReplica \"d\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_goes_by_the_statuses_when_the_operator_cannot_be_asked() {
    let hub = Hub::start().await;
    hub.answers(MODEL, &model(&json!({})));
    let list = |kind: &str, items: Value| json!({"apiVersion": "skyfleet.dev/v1alpha1", "kind": kind, "metadata": {}, "items": items});
    let cluster = json!({"apiVersion": "skyfleet.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "aws-1"},
        "spec": {"provider": "aws", "region": "r", "connection": {}},
        "status": {"nodes": 1, "allocatable": {"cpu": "4"}}});
    hub.answers("/apis/skyfleet.dev/v1alpha1/clusters", &list("ClusterList", json!([cluster])));
    // All namespaces may not be seen; this one may.
    let own = "/apis/skyfleet.dev/v1alpha1/namespaces/default";
    hub.answers(&format!("{own}/modeldeployments"), &list("ModelDeploymentList", json!([model(&json!({}))])));
    hub.answers(&format!("{own}/datasetreplicas"), &list("DatasetReplicaList", json!([])));
    hub.answers(&format!("{own}/buckets"), &list("BucketList", json!([])));
    for (holder, said) in [
        (None, "there is no Lease \"skyfleet-operator\""),
        (Some(""), "nobody holds the Lease"),
        (Some("../../secrets"), "which is no pod"),
        (Some("skyfleet-0"), "not found"),
    ] {
        if let Some(holder) = holder {
            hub.answers(LEASE, &json!({"metadata": {}, "spec": {"holderIdentity": holder}}));
        }
        let (code, stdout, stderr) = run(hub.skyfleet(&["explain", "minilm"]));
        assert_eq!(code, 0, "{stderr}");
        let first = stdout.lines().next().unwrap();
        assert!(first.starts_with("by the Clusters' statuses; the operator could not be asked: "), "{stdout}");
        assert!(first.contains(said), "{stdout}");
        assert!(stdout.contains("aws-1     2"), "{stdout}");
    }
    hub.says(OPERATOR, 404, "");
    let (_, stdout, stderr) = run(hub.skyfleet(&["explain", "minilm", "-o", "json"]));
    assert!(stderr.starts_with("note: by the Clusters' statuses"), "{stderr}");
    let explained: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        explained["source"],
        json!({"kind": "statuses", "because": "skyfleet-0 answers 404: it does not know the question"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_rollout_ends_with_it() {
    let hub = Hub::start().await;
    let status = |more: &[&str]| hub.skyfleet(&[&["rollout", "status", "skm/minilm"], more].concat());
    assert_fails(status(&[]), 6, "there is no ModelDeployment");
    hub.answers(MODEL, &model(&json!({})));
    assert_fails(status(&[]), 1, "has no spec.rollout");
    hub.answers(MODEL, &with_rollout(false, "Complete", ""));
    assert_eq!(run(status(&[])).1, "modeldeployment \"minilm\" successfully rolled out\n");
    hub.answers(MODEL, &with_rollout(false, "RolledBack", "too many errors"));
    assert_fails(status(&[]), 1, "was rolled back: too many errors");

    hub.answers(MODEL, &with_rollout(false, "Progressing", "soaking"));
    let waits = "Waiting for modeldeployment \"minilm\" rollout to finish: wave 1 of 2: soaking\n";
    assert_eq!(run(status(&["--watch=false"])), (0, waits.to_owned(), String::new()));
    let (code, stdout, stderr) = run(status(&["--timeout", "1s"]));
    assert_eq!((code, stdout.as_str()), (1, waits), "it is said once");
    assert!(stderr.contains("timed out"), "{stderr}");
    let mut watching = status(&["-w"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(watching.try_wait().unwrap().is_none(), "it gave up");
    hub.answers(MODEL, &with_rollout(false, "Complete", ""));
    let output = tokio::task::spawn_blocking(move || watching.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("successfully rolled out\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_held_and_let_go() {
    let hub = Hub::start().await;
    hub.answers(MODEL, &model(&json!({})));
    assert_fails(hub.skyfleet(&["rollout", "pause", "minilm"]), 1, "has no spec.rollout");
    hub.answers(MODEL, &with_rollout(false, "Progressing", ""));
    assert_fails(hub.skyfleet(&["rollout", "resume", "minilm"]), 1, "is not paused");
    let (code, stdout, _) = run(hub.skyfleet(&["rollout", "pause", "minilm"]));
    assert_eq!((code, stdout.as_str()), (0, "modeldeployment.skyfleet.dev/minilm paused\n"));
    hub.answers(MODEL, &with_rollout(true, "Paused", ""));
    assert_fails(hub.skyfleet(&["rollout", "pause", "minilm"]), 1, "is already paused");
    let (_, stdout, _) = run(hub.skyfleet(&["rollout", "resume", "minilm"]));
    assert_eq!(stdout, "modeldeployment.skyfleet.dev/minilm resumed\n");
    let patch = |paused: bool| (MODEL.to_owned(), json!({"spec": {"rollout": {"paused": paused}}}));
    assert_eq!(hub.changes(), [patch(true), patch(false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_comes_back_with_all_it_had_and_nothing_it_had_not() {
    let hub = Hub::start().await;
    hub.answers(MODEL, &with_rollout(false, "Complete", ""));
    let undo = |more: &[&str]| hub.skyfleet(&[&["rollout", "undo", "minilm"], more].concat());
    hub.answers(REVISIONS, &json!({"metadata": {}, "items": []}));
    assert_fails(undo(&[]), 1, "nothing to go back to");
    let revision = |number: i32, hash: &str, runtime: Value| {
        json!({"metadata": {"name": format!("minilm-{hash}"), "labels": {"skyfleet.dev/revision": hash},
            "ownerReferences": [{"apiVersion": "v", "kind": "k", "name": "minilm", "uid": "u"}]}, "revision": number,
            "data": {"model": {"name": "m", "mountPath": "/models", "image": {}}, "service": {"type": "ClusterIP"},
                "runtime": runtime}})
    };
    let now = json!({"preset": "custom", "image": "i:2", "port": 80, "args": ["--new"]});
    let then = json!({"preset": "custom", "image": "i:1", "port": 80});
    hub.answers(REVISIONS, &json!({"metadata": {}, "items": [revision(2, "bbb", now), revision(1, "aaa", then)]}));
    let (_, history, stderr) = run(hub.skyfleet(&["rollout", "history", "minilm"]));
    let lines: Vec<Vec<&str>> = history.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["1", "aaa", "stable", "the", "first", "that", "is", "kept"], "{stderr}");
    assert_eq!(lines[2], ["2", "bbb", "current", "runtime.args,", "runtime.image"]);
    let (_, shown, _) = run(hub.skyfleet(&["rollout", "history", "minilm", "--revision", "1"]));
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["runtime"]["image"], "i:1");

    assert_fails(undo(&["--to-revision", "9"]), 2, "there is no revision 9; kept are: 1, 2");
    assert!(run(undo(&["--to-revision", "2"])).1.contains("skipped rollback"));
    assert!(hub.changes().is_empty());
    // The operator has written its status meanwhile.
    hub.refuses_a_change(409);
    let (code, stdout, stderr) = run(undo(&[]));
    assert_eq!(
        (code, stdout.as_str()),
        (0, "modeldeployment.skyfleet.dev/minilm rolled back to revision 1\n"),
        "{stderr}"
    );
    let patch = json!({"metadata": {"resourceVersion": "7"}, "spec": {"runtime": {"image": "i:1", "args": null}}});
    assert_eq!(hub.changes(), [(MODEL.to_owned(), patch)]);
    for _ in 0..5 {
        hub.refuses_a_change(409);
    }
    assert_fails(undo(&[]), 1, "is being changed all the time");
}
