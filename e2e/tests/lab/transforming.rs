//! A DatasetReplica that makes tables of records, over stores of each kind.

use std::collections::BTreeMap;
use std::path::Path;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use skyfleet_e2e::artifacts;
use skyfleet_mirror::StoreErrorKind;

use crate::hub::Hub;
use crate::stores::Stores;
use crate::support::eventually;

const FILES: usize = 3;
const ROWS: usize = 5000;

fn lines(file: usize) -> String {
    let line = |row: usize| {
        let id = file * ROWS + row;
        let record = json!({"id": id, "mail": format!("user{}@example.com", id % 100), "price": row % 10});
        format!("{record}\n")
    };
    (0..ROWS).map(line).collect()
}

/// Records in S3 become tables at Azure and Google, hidden in part, which another program reads.
pub(crate) async fn records_become_tables(hub: &Hub, stores: &Stores, folder: &Path) {
    let raw = folder.join("raw");
    std::fs::create_dir(&raw).unwrap();
    for file in 0..FILES {
        std::fs::write(raw.join(format!("{file}.jsonl")), lines(file)).unwrap();
    }
    let origin = stores.url("s3", "raw");
    stores.mirror(raw.to_str().unwrap(), &origin).await;

    let target = |bucket: &str| json!({"bucketRef": {"name": bucket}, "prefix": "tables/"});
    let above = json!({"column": "price", "operator": "Gt", "values": ["4"]});
    let mask = json!({"columns": ["mail"], "method": "Hash", "keySecretRef": {"name": "mask", "key": "maskKey"}});
    let spec = json!({
        "source": {"bucketRef": {"name": "s3"}, "prefix": "raw/"}, "targets": [target("azure"), target("gcs")],
        "schedule": {"interval": "5s"},
        "transform": {
            "steps": [{"filter": {"matchExpressions": [above]}}, {"mask": mask}], "output": {"format": "Parquet"},
        },
    });
    hub.create("DatasetReplica", "tables", spec).await;
    let on = |from: &str, prefix: &str, to: &str, target: &str| {
        json!({
            "source": {"bucketRef": {"name": from}, "prefix": prefix}, "schedule": {"interval": "1h"},
            "targets": [{"bucketRef": {"name": to}, "prefix": target}],
        })
    };
    hub.create("DatasetReplica", "copied-tables", on("gcs", "tables/", "azure", "copied/")).await;
    hub.wait("DatasetReplica", "copied-tables", ["Ready", "False", "WaitingForData"]).await;
    let status = hub.wait("DatasetReplica", "tables", ["Ready", "False", "ReferenceNotFound"]).await;
    assert!(status.to_string().contains("there is no Secret \\\"mask\\\""), "{status}");
    hub.set_secret("default", "mask", json!({"maskKey": "a key that nobody guesses"})).await;

    let status = hub.wait("DatasetReplica", "tables", ["Ready", "True", "AsSpecified"]).await;
    let (all, half) = (FILES * ROWS, FILES * ROWS / 2);
    let steps = json!([
        {"step": "Filter", "rowsIn": all, "rowsOut": half}, {"step": "Mask", "rowsIn": half, "rowsOut": half},
    ]);
    assert_eq!(status["rows"], json!({"read": all, "rejected": 0, "written": half, "steps": steps}));
    let digests: Vec<_> =
        status["targets"].as_array().unwrap().iter().map(|target| &target["manifestDigest"]).collect();
    assert!(
        digests[0].is_string() && digests[0] == digests[1] && status["source"]["manifestDigest"].is_null(),
        "{status}"
    );
    let tables = tables(stores, folder, "first").await;
    assert!(tables["azure"] == tables["gcs"], "the same bytes in each cloud");
    let read = read(folder, "first-gcs");
    assert_eq!((&read["rows"], &read["mails"], &read["least"]), (&half.into(), &50.into(), &5.into()));

    let copied = hub.wait("DatasetReplica", "copied-tables", ["Ready", "True", "AsSpecified"]).await;
    assert_eq!(&copied["targets"][0]["manifestDigest"], digests[0], "{copied}");
    hub.create("DatasetReplica", "circle", on("azure", "copied/", "s3", "raw/again/")).await;
    let circle = hub.wait("DatasetReplica", "circle", ["Ready", "False", "InvalidSpec"]).await;
    assert!(circle.to_string().contains("(circle -> tables -> copied-tables -> circle)"), "{circle}");

    // A record that is none: nothing new is named, and the reason is told.
    std::fs::write(raw.join("0.jsonl"), format!("{}not a record\n", lines(0))).unwrap();
    stores.mirror(raw.to_str().unwrap(), &origin).await;
    let refused = hub.wait("DatasetReplica", "tables", ["Ready", "False", "RecordsRejected"]).await;
    assert_eq!(&refused["targets"][0]["manifestDigest"], digests[0], "{refused}");
    assert!(refused.to_string().contains("could not be transformed"), "{refused}");
    let allowed = json!({"spec": {"transform": {"deadLetters": {"maxPercent": 1}}}});
    hub.api("DatasetReplica").patch("tables", &PatchParams::default(), &Patch::Merge(allowed)).await.unwrap();
    let status = hub.wait("DatasetReplica", "tables", ["Ready", "True", "AsSpecified"]).await;
    assert_eq!((&status["rows"]["rejected"], &status["rows"]["read"]), (&1.into(), &(all + 1).into()));
    let letters = stores.open("azure").await;
    let key = ".skyfleet/dead-letters/default.tables/tables/0.parquet.jsonl";
    assert!(letters.head(key).await.is_ok(), "{key}");
    // Its own time is an hour: it follows the other.
    std::fs::write(raw.join("0.jsonl"), lines(FILES)).unwrap();
    stores.mirror(raw.to_str().unwrap(), &origin).await;
    let changed = eventually_another(hub, "tables", &status).await;
    let followed = eventually_another(hub, "copied-tables", &copied).await;
    assert_eq!(changed, followed);
    let is_gone = letters.head(key).await.is_err_and(|error| error.kind == StoreErrorKind::NotFound);
    assert!(is_gone, "the record was mended");
}

/// The digest that a DatasetReplica's first target has, once it is another than before.
async fn eventually_another(hub: &Hub, name: &str, before: &Value) -> Value {
    let digest = |status: &Value| status["targets"][0]["manifestDigest"].clone();
    eventually(&format!("another version of {name}"), || async {
        let now = digest(&hub.status("DatasetReplica", name).await);
        if now.is_string() && now != digest(before) { Ok(now) } else { Err(now.to_string()) }
    })
    .await
}

/// The tables in each store, which lie in folders then.
async fn tables(stores: &Stores, folder: &Path, step: &str) -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut tables = BTreeMap::new();
    for kind in ["azure", "gcs"] {
        let copy = folder.join(format!("{step}-{kind}"));
        std::fs::create_dir(&copy).unwrap();
        stores.mirror(&stores.url(kind, "tables"), copy.to_str().unwrap()).await;
        let read = (0..FILES).map(|file| std::fs::read(copy.join(format!("{file}.parquet"))).unwrap());
        tables.insert(kind, read.collect());
    }
    tables
}

/// What pyarrow finds in all tables of a folder.
fn read(folder: &Path, tables: &str) -> Value {
    let program = "import glob, json, sys, pyarrow as pa, pyarrow.parquet as pq\n\
        table = pa.concat_tables(pq.read_table(file) for file in sorted(glob.glob(sys.argv[1] + '/*.parquet')))\n\
        mails = set(table['mail'].to_pylist())\n\
        assert all(len(mail) == 32 and '@' not in mail for mail in mails), mails\n\
        print(json.dumps({'rows': table.num_rows, 'mails': len(mails), 'least': min(table['price'].to_pylist())}))";
    let output =
        artifacts::python_with_pyarrow().unwrap().args(["-c", program]).arg(folder.join(tables)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
