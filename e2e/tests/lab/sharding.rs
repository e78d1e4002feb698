//! A DatasetReplica that splits its data over stores of each kind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use skyfleet_e2e::artifacts;
use tokio::process::Command;

use crate::hub::Hub;
use crate::stores::Stores;
use crate::support::eventually;

/// Two targets hold all of it, then a third comes that takes over half.
pub(crate) async fn data_is_split_and_a_target_that_comes_takes_its_share(
    (hub, kubeconfig): (&Hub, &Path),
    stores: &Stores,
    folder: &Path,
    files: &BTreeMap<String, Vec<u8>>,
) {
    let target = |bucket: &str| json!({"bucketRef": {"name": bucket}, "prefix": "split/"});
    let spec = json!({
        "source": {"bucketRef": {"name": "s3"}, "prefix": "origin/"}, "targets": [target("azure"), target("gcs")],
        "mode": "Shard", "sharding": {"by": "Count"}, "schedule": {"interval": "5s"}, "deletionPolicy": "Delete",
    });
    hub.create("DatasetReplica", "split", spec).await;
    let first = split_into(hub, &[20, 20]).await;
    let before = held(stores, folder, files, "before", &["azure", "gcs"]).await;

    let mut third = target("s3");
    third["weight"] = 2.into();
    let targets = json!({"spec": {"targets": [target("azure"), target("gcs"), third]}});
    hub.api("DatasetReplica").patch("split", &PatchParams::default(), &Patch::Merge(targets)).await.unwrap();
    let second = split_into(hub, &[10, 10, 20]).await;
    assert_ne!(first["shardIndexDigest"], second["shardIndexDigest"]);
    let after = held(stores, folder, files, "after", &["azure", "gcs", "s3"]).await;
    assert!(after.iter().all(|(name, kind)| kind == "s3" || before[name] == *kind), "nothing else moved");

    let whole = folder.join("assembled");
    let said = assemble(kubeconfig, "split", &whole).await.unwrap();
    assert!(said.contains("from 3 parts: 40 files") && said.contains("(0 were there)"), "{said}");
    for (name, content) in files {
        assert!(std::fs::read(whole.join(name)).unwrap() == *content, "{name}");
    }
    let refused = assemble(kubeconfig, "from-s3", &whole).await.unwrap_err();
    assert!(refused.contains("not of mode Shard"), "{refused}");
    let missing = assemble(kubeconfig, "nothing", &whole).await.unwrap_err();
    assert!(missing.contains("there is no DatasetReplica \"nothing\""), "{missing}");
}

/// Two large files are cut between their records, their pieces split over two clouds, and joined again.
pub(crate) async fn records_are_cut_and_joined((hub, kubeconfig): (&Hub, &Path), stores: &Stores, folder: &Path) {
    let raw = folder.join("records");
    std::fs::create_dir(&raw).unwrap();
    let text = |row: usize| "a \"line\"\nand more".repeat(row % 7);
    let lines = (0..30_000).map(|row| format!("{}\n", json!({"id": row, "text": text(row)})));
    let table = (0..30_000).map(|row| format!("{row},\"{}\"\r\n", text(row).replace('"', "\"\"")));
    let files = [
        ("lines.jsonl", lines.collect::<String>()),
        ("table.csv", ["id,text\r\n".to_owned()].into_iter().chain(table).collect()),
        ("note.txt", "not cut".to_owned()),
    ];
    for (name, content) in &files {
        std::fs::write(raw.join(name), content).unwrap();
    }
    stores.mirror(raw.to_str().unwrap(), &stores.url("s3", "records")).await;
    let pieces: usize = files.iter().map(|(_, content)| content.len().div_ceil(1 << 20)).sum();
    let target = |bucket: &str| json!({"bucketRef": {"name": bucket}, "prefix": "pieces/"});
    let spec = json!({
        "source": {"bucketRef": {"name": "s3"}, "prefix": "records/"}, "targets": [target("azure"), target("gcs")],
        "mode": "Shard", "sharding": {"by": "Count", "pieceSize": "1Mi"}, "schedule": {"interval": "1h"},
    });
    hub.create("DatasetReplica", "records", spec).await;
    let status = hub.wait("DatasetReplica", "records", ["Ready", "True", "AsSpecified"]).await;
    let counts: Vec<_> = status["targets"].as_array().unwrap().iter().map(|target| &target["objects"]).collect();
    assert!(pieces > 3 && counts == [&Value::from(pieces.div_ceil(2)), &Value::from(pieces / 2)], "{pieces}: {status}");
    assert_eq!(status["rows"]["written"], 60_000, "{status}");
    let whole = folder.join("joined");
    assemble(kubeconfig, "records", &whole).await.unwrap();
    for (name, content) in &files {
        assert!(std::fs::read_to_string(whole.join(name)).unwrap() == *content, "{name}");
    }
}

/// Runs `skyfleet assemble` as a person does: what it said, or why it failed.
async fn assemble(kubeconfig: &Path, name: &str, into: &Path) -> Result<String, String> {
    let program = tokio::task::spawn_blocking(artifacts::skyfleet_program).await.unwrap().unwrap();
    let mut command = Command::new(program);
    command.args(["assemble", name, "--into"]).arg(into).env_clear().env("KUBECONFIG", kubeconfig);
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

/// Waits until the parts have so many objects.
async fn split_into(hub: &Hub, counts: &[u64]) -> Value {
    eventually(&format!("parts of {counts:?}"), || async {
        let status = hub.status("DatasetReplica", "split").await;
        let found: Vec<_> = status["targets"].as_array().into_iter().flatten().collect();
        let found: Vec<_> = found.into_iter().filter_map(|target| target["objects"].as_u64()).collect();
        let is_named = status["shardIndexDigest"].as_str().is_some_and(|digest| digest.starts_with("sha256:"));
        if found == counts && is_named { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    hub.wait("DatasetReplica", "split", ["Ready", "True", "AsSpecified"]).await
}

/// Which store holds each file: exactly one of them, and as it was.
async fn held(
    stores: &Stores,
    folder: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    step: &str,
    kinds: &[&str],
) -> BTreeMap<String, String> {
    let mut holders = BTreeMap::new();
    for kind in kinds {
        let copy = folder.join(format!("{step}-{kind}"));
        std::fs::create_dir(&copy).unwrap();
        stores.mirror(&stores.url(kind, "split"), copy.to_str().unwrap()).await;
        for (name, content) in files {
            let Ok(found) = std::fs::read(copy.join(name)) else { continue };
            assert!(found == *content, "{kind}: {name}");
            let other = holders.insert(name.clone(), (*kind).to_owned());
            assert_eq!(other, None, "{name} is in {kind}, too");
        }
    }
    assert!(holders.keys().eq(files.keys()), "all parts are the whole");
    holders
}
