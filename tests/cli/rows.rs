//! `skyfleet mirror --piece-size` and `skyfleet assemble`: files that are split by their rows, and come together again.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use skyfleet_mirror::{
    ConnectOptions, Credentials, Dataset, DatasetName, MirrorOptions, ObjectStore, Replica, S3Location, S3Store, Shard,
    ShardBy, Sharding, mirror,
};
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::lineage::{hub, knows};
use crate::{Server, assert_fails, bare, run};

fn lines() -> String {
    (0..500).map(|id| format!("{{\"id\":{id}}}\r\n")).collect::<Vec<_>>().concat()
}

fn table() -> String {
    format!(
        "id,\"the\nname\"\n{}",
        (0..500).map(|id| format!("{id},\"a\n\"\"{id}\"\"\"\n")).collect::<Vec<_>>().concat()
    )
}

/// The files below a folder that hold data, in their order.
fn files(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn files_are_split_over_folders_by_their_rows() {
    let desk = tempfile::tempdir().unwrap();
    let path = |name: &str| desk.path().join(name).to_str().unwrap().to_owned();
    for name in ["raw", "one", "two"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    std::fs::write(path("raw/a.jsonl"), lines()).unwrap();
    std::fs::write(path("raw/b.csv"), table()).unwrap();
    std::fs::write(path("raw/readme.md"), "a file").unwrap();
    let mirror = |more: &[&str]| {
        let (raw, one, two) = (path("raw"), path("one"), path("two"));
        bare(&[&["mirror", &raw, &one, &two], more].concat())
    };
    let by_rows = ["--shard", "count", "--piece-size", "1Ki"];
    let (code, stdout, stderr) = run(mirror(&by_rows));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("rows: 1000 read, 1000 held"), "{stdout}");
    let (one, two) = (files(&desk.path().join("one")), files(&desk.path().join("two")));
    assert!(one.len().abs_diff(two.len()) <= 1, "{} and {}", one.len(), two.len());
    let mut all = [one, two].concat();
    all.sort();
    let joined = |prefix: &str, header: &str| {
        let pieces = all.iter().filter(|(name, _)| name.starts_with(prefix));
        pieces.map(|(_, text)| text.strip_prefix(header).unwrap()).collect::<Vec<_>>().concat()
    };
    let header = "id,\"the\nname\"\n";
    assert_eq!((joined("a-0", ""), format!("{header}{}", joined("b-0", header))), (lines(), table()));
    assert!(all.iter().any(|(name, text)| name == "readme.md" && text == "a file"));

    let (code, stdout, _) = run(mirror(&[&by_rows[..], &["--json"]].concat()));
    let report: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!((code, &report["targets"][0]["copied"], &report["rows"]["written"]), (0, &0.into(), &1000.into()));

    std::fs::write(path("raw/c.csv.gz"), "no matter").unwrap();
    let (code, _, stderr) = run(mirror(&by_rows));
    assert!(code == 9 && stderr.contains("\"c.csv.gz\"") && stderr.contains("decompress it"), "{stderr}");
    assert_fails(mirror(&["--piece-size", "1Ki"]), 2, "--shard");
    assert_fails(mirror(&["--shard", "hash", "--piece-size", "0"]), 2, "a piece of no bytes holds no rows");
    std::fs::write(path("transform.yaml"), "steps: [{deduplicate: {}}]").unwrap();
    let file = path("transform.yaml");
    assert_fails(
        mirror(&[&by_rows[..], &["--transform", &file]].concat()),
        2,
        "deduplicate by a dataset of its own before",
    );
}

/// Splits what lies below `raw/` over two prefixes of the bucket, as the operator would; the hub's DatasetReplica then.
async fn split(server: &Server) -> Value {
    let store = &server.running.store;
    let location = S3Location::new(Some(store.endpoint()), Some("us-east-1".into()), "bucket".into(), String::new());
    let credentials = Credentials::Static {
        access_key_id: store.access_key_id.clone(),
        secret_access_key: store.secret_access_key.clone(),
        session_token: None,
    };
    let store = S3Store::connect(location, credentials, ConnectOptions::default()).await.unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    let at = |prefix: &str| Replica { store: store.clone(), prefix: prefix.to_owned() };
    let shard =
        |(index, name): (usize, &str)| Shard { name: name.to_owned(), weight: NonZeroU32::MIN, target: Some(index) };
    let shards = ["one/one/", "two/two/"].into_iter().enumerate().map(shard).collect();
    let options = MirrorOptions {
        dataset: Some(Dataset { name: DatasetName::new("default", "rows").unwrap(), publish_to_source: false }),
        sharding: Some(Sharding { by: ShardBy::Count, shards, piece_size: NonZeroU64::new(1024) }),
        ..MirrorOptions::default()
    };
    let cancel = CancellationToken::new();
    let report = mirror(&at("raw/"), &[at("one/"), at("two/")], &options, &cancel, Arc::new(|_| ())).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let bucket = |bucket: &str, prefix: &str| json!({"bucketRef": {"name": bucket}, "prefix": prefix});
    json!({
        "apiVersion": "skyfleet.dev/v1alpha1", "kind": "DatasetReplica",
        "metadata": {"name": "rows", "namespace": "default"},
        "spec": {"source": bucket("one", "raw/"), "targets": [bucket("one", "one/"), bucket("two", "two/")], "mode": "Shard",
            "sharding": {"by": "Count", "pieceSize": "1Ki"}},
        "status": {"shardIndexDigest": report.shard_index.unwrap().to_string()},
    })
}

fn assemble(hub: &Hub, into: &Path, more: &[&str]) -> std::process::Command {
    hub.skyfleet(&[&["assemble", "rows", "--into", into.to_str().unwrap()], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn assemble_makes_whole_files_of_pieces() {
    let server = Server::start().await;
    let hub = hub(&server).await;
    for (name, text) in [("a.jsonl", lines()), ("b.csv", table()), ("readme.md", "a file".to_owned())] {
        let file = server.folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let (code, _, stderr) = run(server.skyfleet(&["upload", file.to_str().unwrap(), "s3://bucket/raw", name]));
        assert_eq!(code, 0, "{stderr}");
    }
    knows(&hub, &[split(&server).await]);
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let (code, stdout, stderr) = run(assemble(&hub, &whole, &[]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("of them were pieces, and are 2 files now"), "{stdout}");
    let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let expected = [text("a.jsonl", &lines()), text("b.csv", &table()), text("readme.md", "a file")];
    assert_eq!(files(&whole), expected);
    assert_eq!(std::fs::read_dir(&whole).unwrap().count(), 3, "nothing else is left");
    // Once more over what is there.
    assert_eq!((run(assemble(&hub, &whole, &[])).0, files(&whole) == expected), (0, true));

    let pieces = folder.path().join("pieces");
    assert_eq!(run(assemble(&hub, &pieces, &["--keep-pieces"])).0, 0);
    assert!(files(&pieces).iter().any(|(name, _)| name.starts_with("a-00000-of-")) && !pieces.join("a.jsonl").exists());

    // What one of the targets lost is said, and no half of a file is left.
    let (name, _) = files(&pieces).into_iter().find(|(name, _)| name.starts_with("b-00001-of-")).unwrap();
    for target in ["one", "two"] {
        let file = server.file("other", 7);
        run(server.skyfleet(&["upload", &file, &format!("s3://bucket/{target}"), &name]));
    }
    let other = folder.path().join("other");
    assert_fails(assemble(&hub, &other, &[]), 8, &format!("{name:?} is not what the manifest says"));
    assert!(!other.join("b.csv").exists());
}
