//! `lineage` as a person runs it: against a real bucket, and a stand-in for the hub.

use std::process::Command;

use serde_json::{Value, json};

use crate::hub::Hub;
use crate::{Server, assert_fails, run};

const OWN: &str = "/apis/skyfleet.dev/v1alpha1/namespaces/default";

fn replica(name: &str, source: (&str, &str), target: (&str, &str), digest: Option<&str>) -> Value {
    let bucket = |(bucket, prefix): (&str, &str)| json!({"bucketRef": {"name": bucket}, "prefix": prefix});
    json!({
        "apiVersion": "skyfleet.dev/v1alpha1", "kind": "DatasetReplica",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"source": bucket(source), "targets": [bucket(("behind", "")), bucket(target)]},
        "status": {"targets": [{"bucket": "behind"}, {"bucket": target.0, "prefix": target.1, "manifestDigest": digest}]},
    })
}

fn digest(of: &str) -> String {
    format!("sha256:{}", skyfleet_mirror::Sha256::of(of.as_bytes()))
}

/// The first line of a document.
fn version(name: &str, made: &Value) -> Value {
    json!({
        "format": "skyfleet.dev/provenance/v1", "dataset": format!("default.{name}"), "manifest": digest(name),
        "published": "2026-11-27T19:00:00Z", "source": {"endpoint": "https://s3.example", "bucket": "lake", "prefix": "raw/"},
        "made": made, "objects": 2, "bytesIn": 300, "bytesOut": 200,
    })
}

fn object(key: &str, from: &str, rows: u64) -> Value {
    json!({
        "key": key, "bytes": 100, "sha256": skyfleet_mirror::Sha256::of(key.as_bytes()).to_string(),
        "source": {"key": from, "bytes": 150, "etag": "e", "modified": "2026-11-26T08:00:00Z"},
        "made": "2026-11-27T18:59:59Z",
        "rows": {"read": 9, "rejected": 1, "steps": [{"rowsIn": 8, "rowsOut": rows}], "written": rows},
    })
}

fn transformed() -> [Value; 3] {
    let rows = json!({"read": 18, "rejected": 2, "steps": [{"rowsIn": 16, "rowsOut": 12}], "written": 12});
    let made = json!({"transformed": {"digest": "d1ge5t", "steps": ["Filter"], "rows": rows}});
    [version("clean", &made), object("a.parquet", "a.csv", 5), object("b.parquet", "b.csv", 7)]
}

/// What lies beside a manifest.
fn put(server: &Server, name: &str, lines: &[Value]) {
    let path = server.folder.path().join(name);
    std::fs::write(&path, lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")).unwrap();
    let folder = format!("s3://bucket/.skyfleet/provenance/default.{name}");
    let key = format!("{}.jsonl", digest(name).trim_start_matches("sha256:"));
    let (code, _, stderr) = run(server.skyfleet(&["upload", path.to_str().unwrap(), &folder, &key]));
    assert_eq!(code, 0, "{stderr}");
}

/// A hub with a Bucket of this server, by two names.
pub(crate) async fn hub(server: &Server) -> Hub {
    let (hub, store) = (Hub::start().await, &server.running.store);
    for name in ["one", "two"] {
        let bucket = json!({
            "apiVersion": "skyfleet.dev/v1alpha1", "kind": "Bucket", "metadata": {"name": name, "namespace": "default"},
            "spec": {"provider": "s3", "name": "bucket", "endpoint": store.endpoint(), "region": "us-east-1",
                "credentialsSecretRef": {"name": "key"}},
        });
        hub.answers(&format!("{OWN}/buckets/{name}"), &bucket);
    }
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"},
        "data": {"accessKeyId": base64(&store.access_key_id), "secretAccessKey": base64(&store.secret_access_key)}});
    hub.answers("/api/v1/namespaces/default/secrets/key", &secret);
    hub
}

fn base64(text: &str) -> Value {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap()
}

pub(crate) fn knows(hub: &Hub, replicas: &[Value]) {
    for replica in replicas {
        hub.answers(&format!("{OWN}/datasetreplicas/{}", replica["metadata"]["name"].as_str().unwrap()), replica);
    }
    let list =
        json!({"apiVersion": "skyfleet.dev/v1alpha1", "kind": "DatasetReplicaList", "metadata": {}, "items": replicas});
    hub.answers(&format!("{OWN}/datasetreplicas"), &list);
}

fn lineage(hub: &Hub, more: &[&str]) -> Command {
    hub.skyfleet(&[&["lineage"], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn lineage_tells_of_what_and_how_a_dataset_was_made_up_to_its_source() {
    let server = Server::start().await;
    let hub = hub(&server).await;
    put(&server, "clean", &transformed());
    put(&server, "raw", &[version("raw", &json!("copied"))]);
    let clean = replica("clean", ("one", "raw/"), ("two", "w/"), Some(&digest("clean")));
    let raw = replica("raw", ("far", ""), ("one", "raw/"), Some(&digest("raw")));
    knows(&hub, &[clean.clone(), raw]);

    let (code, stdout, stderr) = run(lineage(&hub, &["datasetreplica/clean"]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let manual = include_str!("../../docs/mirror.md");
    let shown = manual.split("$ kubectl skyfleet lineage datasetreplica/clean\n").nth(1).unwrap();
    assert_eq!(stdout, shown.split("```").next().unwrap(), "docs/mirror.md shows it");

    for key in ["b.csv", "b.parquet"] {
        let (_, stdout, _) = run(lineage(&hub, &["skd/clean", "--object", key]));
        assert!(stdout.contains("object b.parquet") && stdout.contains("Filter: 8 in, 7 out"), "{stdout}");
        assert!(stdout.contains("DatasetReplica default/raw") && !stdout.contains("a.csv"), "{stdout}");
    }
    let (_, stdout, _) = run(lineage(&hub, &["clean", "-n", "default", "-o", "json", "--object", "a.csv"]));
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(told["datasets"][0]["objects"], json!([transformed()[1]]));
    assert_eq!(told["datasets"][1]["datasetReplica"], "default/raw");
    assert_eq!((&told["datasets"][1]["version"], &told["end"]), (&version("raw", &json!("copied")), &json!("source")));
    assert_fails(lineage(&hub, &["clean", "--object", "c.csv"]), 1, "has no object \"c.csv\"");

    // Of what is only cut, pieces are told of, and the rest is copied.
    let cut = json!({"cut": {"pieceSize": 1024, "pieces": 1, "rows": 9}});
    let mut piece = object("a-00001-of-00002.csv", "a.csv", 9);
    piece["source"]["piece"] = json!({"index": 1, "of": 2});
    put(&server, "clean", &[version("clean", &cut), piece]);
    let (_, stdout, _) = run(lineage(&hub, &["clean"]));
    assert!(stdout.contains("cutting between rows, into pieces of about 1024 bytes"), "{stdout}");
    let (_, stdout, _) = run(lineage(&hub, &["clean", "--object", "a.csv"]));
    assert!(
        stdout.contains("object a-00001-of-00002.csv") && stdout.contains("a.csv, piece 00001 of 00002"),
        "{stdout}"
    );
    assert_eq!(run(lineage(&hub, &["clean", "--object", "readme.md"])).0, 0, "it may be a copy");
    put(&server, "clean", &transformed());

    // Two that feed each other.
    let back = replica("raw", ("two", "w/"), ("one", "raw/"), Some(&digest("raw")));
    knows(&hub, &[clean.clone(), back]);
    let (_, stdout, _) = run(lineage(&hub, &["clean"]));
    assert!(stdout.ends_with("It goes round: default/clean comes again, and is not told of twice.\n"), "{stdout}");

    // What is not known upstream is said, and the rest is told.
    knows(&hub, &[clean, replica("raw", ("far", ""), ("one", "raw/"), None)]);
    let (code, stdout, _) = run(lineage(&hub, &["clean"]));
    let says = "Further upstream is DatasetReplica default/raw, of which nothing can be told: the DatasetReplica \"raw\": none of";
    assert!(code == 0 && stdout.contains(says), "{stdout}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_lineage_says_what_to_do() {
    let server = Server::start().await;
    let hub = hub(&server).await;
    assert_fails(lineage(&hub, &["bucket/one"]), 2, "give datasetreplica/NAME");
    assert_fails(lineage(&hub, &["clean"]), 6, "see `kubectl get datasetreplicas -A`");
    let replica = |digest| replica("clean", ("far", "raw/"), ("two", "w/"), digest);
    knows(&hub, &[replica(None)]);
    assert_fails(lineage(&hub, &["clean"]), 1, "none of its targets was verified yet");
    knows(&hub, &[replica(Some(&digest("clean")))]);
    assert_fails(lineage(&hub, &["clean"]), 1, "the next pass of the mirror writes it");
    put(&server, "clean", &transformed()[..2]);
    assert_fails(lineage(&hub, &["clean"]), 1, "has 1 lines of objects and should have 2");
}
